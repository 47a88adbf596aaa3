"""Events: rules over what happens in a view, and the way of what they find to those who wait for it."""
