"""Lines, zones and parking bays in a camera's view, and what happens at them."""

from streamdet.results.places.places import Places
from streamdet.results.places.reading import read_bays, read_places, write_bays
from streamdet.results.places.rules import BayRule, LineRule, PlaceRules, ZoneRule, parse_line, parse_zone

__all__ = [
    "BayRule",
    "LineRule",
    "PlaceRules",
    "Places",
    "ZoneRule",
    "parse_line",
    "parse_zone",
    "read_bays",
    "read_places",
    "write_bays",
]
