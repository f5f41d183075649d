"""Running as root: PostgreSQL's user passes through root's folders, and nobody else does."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from persistence.passage import ATTRIBUTE, let_through
from tests.conftest import lacking


def reads(path: Path, user: pwd.struct_passwd) -> bool:
    # A program that all users may run; this Python may lie in root's home.
    command = ["/bin/cat", str(path)]
    done = subprocess.run(
        command, user=user.pw_uid, group=user.pw_gid, extra_groups=[], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lets others through")
def test_one_user_is_let_through_and_the_folder_stays_closed_to_all_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = home / "data" / "file"
    file.parent.mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    file.parent.chmod(0o700)
    file.write_text("x")
    file.chmod(0o644)
    one, other = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
    assert not reads(file, one)
    let_through(file, one)
    assert reads(file, one)
    if home.stat().st_mode & 0o001:
        lacking("This file system has no access control lists.")
    assert not reads(file, other)
    for folder in (home, file.parent):
        assert folder.stat().st_mode & 0o007 == 0
    # Once more changes nothing, and a second user comes beside the first.
    before = os.getxattr(home, ATTRIBUTE)
    let_through(file, one)
    assert os.getxattr(home, ATTRIBUTE) == before
    let_through(file, other)
    assert reads(file, one)
    assert reads(file, other)
    assert home.stat().st_mode & 0o007 == 0
