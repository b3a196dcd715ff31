"""Arguments and files that eval.py refuses in one line, before it computes."""

import shutil

import pytest

import data.loader
from tests.helpers.error_lines import refused

pytestmark = pytest.mark.slow


def test_what_cannot_be_evaluated(run, inputs, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("source,driving\na#1,nobody\n")
    refused(run(tmp_path / "o1", "--pairs", pairs), "'nobody'", "not among the 3 test clips")
    pairs.write_text("from,to\na,b\n")
    refused(run(tmp_path / "o2", "--pairs", pairs), "no column 'source'", "theirs: 'from', 'to'")
    refused(
        run(tmp_path / "o3", "--pairs", tmp_path / "no.csv"),
        "the pairs",
        "no.csv: No such file or directory",
    )
    (tmp_path / "empty/train").mkdir(parents=True)
    (tmp_path / "empty/test").mkdir()
    refused(run(tmp_path / "o4", data=tmp_path / "empty"), "test holds no clip")
    refused(run(tmp_path / "o5", data="nowhere"), "there is no folder of clips")
    refused(run(tmp_path / "o6", checkpoint=("nowhere",)), "there is no checkpoint")
    refused(run(tmp_path / "o7", checkpoint=("run@7",)), "no checkpoint of step 7")
    refused(run(tmp_path / "o8", checkpoint=("run", "run@2")), "given twice")
    refused(run(tmp_path / "o9", "--pairs", pairs, "--random_pairs", 2), "not both")
    refused(run(tmp_path / "o14", "--mode", "standard"), "--mode is for --pairs")
    refused(run(tmp_path / "o15", "--seed", 1), "for --random_pairs")
    refused(run(tmp_path / "o16", "--random_pairs", 2, "--seed", -1), "--seed is 0 or more")
    refused(run(tmp_path / "o10", "--pairs", pairs, "--detector", "face"), "pairs have no truth")
    refused(run(tmp_path / "o11", "--detector", "face {input}"), "has no {output}")
    refused(run(tmp_path / "o12", "--tables", pairs), "each of the 1 checkpoints, and got 1")
    refused(run(tmp_path / "o13", "--tables", pairs, tmp_path / "none"), "there is no table")
    assert not [path for path in tmp_path.glob("o*") if list(path.rglob("*.png"))]


@pytest.mark.parametrize("place", ["test", "test/eval", "link/eval"])
def test_an_output_within_the_data_is_refused(run, inputs, tmp_path, place):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    (tmp_path / "clips/link").symlink_to("test")
    (tmp_path / "circle").symlink_to("circle")
    refused(run(tmp_path / "out", data=tmp_path / "circle"), "there is no folder of clips")
    (tmp_path / "circle").unlink()
    before = sorted(tmp_path.rglob("*"))
    output = tmp_path / "clips" / place
    refused(run(output, data=tmp_path / "clips"), f"--output {output} is within --data")
    (tmp_path / "other").symlink_to(tmp_path / "clips/test")
    refused(run(tmp_path / "other/x", data=tmp_path / "clips"), "other/x is within --data")
    (tmp_path / "other").unlink()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("flags", [(), ("--random_pairs", 2)])
def test_a_data_set_is_listed_once(run, tmp_path, monkeypatch, flags):
    listed, open_path = [], data.loader._open_path

    def noted(*arguments, **options):
        listed.append(arguments)
        return open_path(*arguments, **options)

    monkeypatch.setattr(data.loader, "_open_path", noted)
    refused(run(tmp_path / "out", *flags, "--vgg19", "nowhere"), "nowhere has no VGG-19 weights")
    assert len(listed) == 1
