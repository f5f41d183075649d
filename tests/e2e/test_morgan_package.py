"""The npm package `morgan-voice`: what is in it, whether its types are those of the code, and how a program uses it."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.e2e.npm_clients import node, packages

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "static"

STRICT = ("--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2023")
DOM = ("--lib", "es2023,dom,dom.iterable")

GOOD = """
import { connect, type Call, type Line } from "morgan-voice";
import "morgan-voice/morgan-call.js";

const call: Call = connect({ server: "https://morgan.example.org", token: async () => "mt_1", language: "en" });
call.addEventListener("line", ({ detail }) => { const line: Line = detail; console.log(line.text, line.status); });
call.addEventListener("trouble", ({ detail }) => console.log(detail.code === "microphone_taken"));
await call.ready;
await call.useMicrophone("");
const lost: number | null | undefined = (await call.stats())?.lossPercent;
call.close();
console.log(lost);
"""
WRONG = """
import { connect } from "morgan-voice";

connect({ langauge: "en" });
"""


def checked(*arguments: str, folder: Path) -> str:
    """What TypeScript finds."""
    tsc = str(packages() / "node_modules" / "typescript" / "bin" / "tsc")
    done = subprocess.run([node(), tsc, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed, out of the tarball that would be published."""
    folder = tmp_path_factory.mktemp("project")
    packed = subprocess.run(
        ["npm", "pack", "--silent", str(STATIC)], cwd=folder, capture_output=True, text=True, check=True
    )
    with tarfile.open(folder / packed.stdout.strip()) as tarball:
        tarball.extractall(folder / "node_modules", filter="data")
    (folder / "node_modules" / "package").rename(folder / "node_modules" / "morgan-voice")
    return folder


def test_the_package_holds_the_module_the_element_and_the_types_and_nothing_of_the_page(project: Path) -> None:
    package = project / "node_modules" / "morgan-voice"
    names = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    parts = {f"morgan/{path.name}" for path in (STATIC / "morgan").glob("*.js")}
    assert names == {"package.json", "morgan.js", "morgan.d.ts", "morgan-call.js"} | parts


def test_a_typescript_program_uses_it_and_is_told_of_a_slip(project: Path) -> None:
    (project / "good.ts").write_text(GOOD)
    (project / "wrong.ts").write_text(WRONG)
    assert checked(*STRICT, *DOM, "good.ts", folder=project) == ""
    assert "'langauge' does not exist in type 'CallOptions'" in checked(*STRICT, *DOM, "wrong.ts", folder=project)


def test_a_bundler_takes_in_the_whole_of_it(project: Path) -> None:
    (project / "page.js").write_text('import "morgan-voice/morgan-call.js";\n')
    esbuild = str(packages() / "node_modules" / ".bin" / "esbuild")
    command = [esbuild, "page.js", "--bundle", "--format=esm", "--log-level=warning", "--outfile=out.js"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "RTCPeerConnection" in (project / "out.js").read_text()


def test_the_types_in_the_code_of_the_page_and_of_the_module_fit_together() -> None:
    files = [
        *STATIC.glob("js/*.js"),
        *STATIC.glob("js/admin/*.js"),
        *STATIC.glob("morgan/*.js"),
        STATIC / "morgan-call.js",
    ]
    typed = [str(path) for path in files if path.name != "docs.js"]  # which carries no types
    assert checked(*STRICT, *DOM, "--allowJs", "--checkJs", *typed, folder=ROOT) == ""
