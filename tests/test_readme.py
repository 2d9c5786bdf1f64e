"""Every Python block of the README runs, in order."""

import pathlib
import re

import plait

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_code_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plait.utils.clear_session()  # automatic names are those of a fresh script
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    assert len(blocks) >= 5
    names = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block.replace("epochs=12", "epochs=1, verbose=0"), "README.md", "exec"), names)
    model = names["Denoiser"]()
    model.compile("adam")
    x = names["plait"].random.normal((16, 8))
    assert model.fit(x, epochs=1, verbose=0).history["loss"][0] > 0
    x, y = names["plait"].random.normal((16, 8)), names["plait"].random.normal((16, 1))
    variables, slots = names["variables"], names["optimizer"].init(names["variables"])
    names["step"](variables, slots, x, y)
