import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

import plait
from plait.saving.atomic import replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_whole_and_alone(tmp_path):
    target = tmp_path / "m.bin"
    with replacing(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["m.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "m.bin"
    target.write_bytes(b"old")

    def fail_halfway():
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["m.bin"]


def test_permissions_are_those_of_the_old_file_or_of_a_new_one(tmp_path):
    target, plain = tmp_path / "m.bin", tmp_path / "plain"
    plain.write_bytes(b"")
    with replacing(target) as temporary:
        temporary.write_bytes(b"1")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    target.chmod(0o640)
    with replacing(target) as temporary:
        temporary.write_bytes(b"2")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "m.bin", tmp_path / "latest.bin"
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(plait.FileError, match=r"cannot write '.*none/m\.bin': there is no folder"),
        replacing(tmp_path / "none" / "m.bin"),
    ):
        pass
    with pytest.raises(plait.FileError, match="it is a folder"), replacing(tmp_path):
        pass
    assert issubclass(plait.FileError, OSError)
    assert issubclass(plait.FileError, ValueError)


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_full_disk_leaves_the_old_file(tmp_path):
    target = tmp_path / "m.bin"
    target.write_bytes(b"old")
    done = run(
        """
        import resource, signal, sys
        from plait.errors import FileError
        from plait.saving.atomic import replacing
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with replacing(sys.argv[1]) as temporary:
                temporary.write_bytes(bytes(5000))
        except FileError as error:
            print(error)
        """,
        target,
    )
    assert "cannot write" in done.stdout, done.stderr
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["m.bin"]


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    target = tmp_path / "m.bin"
    target.write_bytes(b"old")
    done = run(
        """
        import os, signal, sys
        from plait.saving.atomic import replacing
        with replacing(sys.argv[1]) as temporary:
            temporary.write_bytes(bytes(5000))
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    os.unlink(next(path for path in tmp_path.iterdir() if path.suffix == ".tmp"))
    assert names(tmp_path) == ["m.bin"]
