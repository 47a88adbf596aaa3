for (const charts of document.querySelectorAll('.charts[data-times]')) {
  const times = JSON.parse(charts.dataset.times)
  const rows = [...charts.querySelectorAll('.row')].map(row => {
    const plot = row.querySelector('[data-values]')
    return plot && { values: JSON.parse(plot.dataset.values), output: row.querySelector('output') }
  }).filter(Boolean)
  const make = name => charts.appendChild(Object.assign(document.createElement('div'), { className: name, hidden: true }))
  const cursor = make('cursor'), when = make('when')
  const move = event => {
    const box = charts.getBoundingClientRect(), share = (event.clientX - box.left) / box.width
    let best = 0
    times.at.forEach((at, i) => { if (Math.abs(at - share) < Math.abs(times.at[best] - share)) best = i })
    const near = Math.abs(times.at[best] - share) * box.width < 24
    cursor.hidden = when.hidden = !near
    cursor.style.left = times.at[best] * 100 + '%'
    when.textContent = times.when[best]
    const half = when.offsetWidth / 2
    when.style.left = Math.min(box.width - half, Math.max(half, times.at[best] * box.width)) + 'px'
    for (const row of rows) row.output.textContent = near ? row.values[best] : ''
  }
  charts.addEventListener('pointermove', move)
  charts.addEventListener('pointerdown', move)
  charts.addEventListener('pointerleave', () => {
    cursor.hidden = when.hidden = true
    for (const row of rows) row.output.textContent = ''
  })
}
