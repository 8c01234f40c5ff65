"""The 55 synsets of ShapeNetCore: their names and model counts in v2.

Only models with an OBJ are counted.
"""

from __future__ import annotations

__all__ = ["TOTAL", "V2_COUNTS", "V2_NAMES"]

_TABLE = """
02691156 airplane 4045     02747177 trash_bin 343     02773838 bag 83            02801938 basket 113
02808440 bathtub 856       02818832 bed 233           02828884 bench 1813        02843684 birdhouse 73
02871439 bookshelf 452     02876657 bottle 498        02880940 bowl 186          02924116 bus 939
02933112 cabinet 1571      02942699 camera 113        02946921 can 108           02954340 cap 56
02958343 car 3514          02992529 cellphone 831     03001627 chair 6778        03046257 clock 651
03085013 keyboard 65       03207941 dishwasher 93     03211117 display 1093      03261776 earphone 73
03325088 faucet 744        03337140 file_cabinet 298  03467517 guitar 797        03513137 helmet 162
03593526 jar 596           03624134 knife 424         03636649 lamp 2318         03642806 laptop 460
03691459 loudspeaker 1597  03710193 mailbox 94        03759954 microphone 67     03761084 microwave 152
03790512 motorcycle 337    03797390 mug 214           03928116 piano 239         03938244 pillow 96
03948459 pistol 307        03991062 flowerpot 602     04004475 printer 166       04074963 remote_control 66
04090263 rifle 2373        04099429 rocket 85         04225987 skateboard 152    04256520 sofa 3173
04330267 stove 218         04379243 table 8436        04401088 telephone 1089    04460130 tower 133
04468005 train 389         04530566 watercraft 1939   04554684 washer 169
"""
_WORDS = _TABLE.split()

V2_NAMES: dict[str, str] = dict(
    zip(_WORDS[::3], (name.replace("_", " ") for name in _WORDS[1::3]), strict=True)
)
"""Name of each synset, for where no `taxonomy.json` gives one."""

V2_COUNTS: dict[str, int] = dict(zip(_WORDS[::3], map(int, _WORDS[2::3]), strict=True))
"""Models with an OBJ; a few folders more hold none (some twenty cars)."""

TOTAL = sum(V2_COUNTS.values())
