"""S4.13: the application, text read in three steps."""

import jax
import pytest
from claim import claim

from bp_lab.ocr import readers
from bp_lab.ocr.pipeline import ceiling, training

PAGE = {"split": "test", "pages": 1, "seed": 4}


@pytest.fixture(scope="module")
def networks():
    return readers.networks()


@claim(
    "S4.13",
    says="An application: OCR is a pipeline of text detection, character segmentation and "
    "character classification.",
    verdict="BEHAVIOUR",
)
def test_s4_13_text_is_read_in_three_steps(networks):
    whole = ceiling.analyse(networks, **PAGE).whole
    characters, right = whole[0].true, [count.right for count in whole]
    assert right[0] > 0.7 * characters > 30
    # Fed with the truth of one step more it reads no worse, and with that of all without fault.
    assert right == sorted(right)
    assert right[-1] == characters
    # Every step is needed: what its training taught it, no other one makes up for.
    for step, stage in training.STAGES.items():
        untaught = networks | {step: stage.init(jax.random.key(0))}
        assert ceiling.analyse(untaught, **PAGE).whole[0].right < 0.3 * characters, step
