"""Pictures of text with what is written in them, drawn on the fly and the same for the same seed.

A split says which fonts, which noise and which scans a picture is drawn with:

  train          fonts of `fonts.TRAINED`, noise up to `paper.NOISE`, scans of the training part
  test           the same, with other texts; one word in ten occurs only here
  unseen family  the fonts of a family that no training picture has
  unseen noise   as test, with more noise than any training picture has
  digits         lines of real scanned digits of the test part
"""

from bp_lab.ocr.data.drawn_lines import HEIGHT, LineImage, line, lines, normalised
from bp_lab.ocr.data.drawn_pages import page
from bp_lab.ocr.data.splits import SPLITS, Split
from bp_lab.ocr.data.text import ALPHABET
from bp_lab.ocr.data.truth import Box, Character, Line, Page

__all__ = [
    "ALPHABET",
    "HEIGHT",
    "SPLITS",
    "Box",
    "Character",
    "Line",
    "LineImage",
    "Page",
    "Split",
    "line",
    "lines",
    "normalised",
    "page",
]
