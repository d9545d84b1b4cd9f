from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Put configs and tools into the wheel at ``mmseg_gc/.mim``, where openmim looks for them."""

    def run(self):
        super().run()
        for folder in ("configs", "tools"):
            target = Path(self.build_lib) / "mmseg_gc" / ".mim" / folder
            self.copy_tree(str(HERE / folder), str(target))


def requirements(name: str) -> list[str]:
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


version = {}
exec((HERE / "mmseg_gc" / "version.py").read_text(), version)

setup(
    name="mmseg_gc",
    version=version["__version__"],
    description="GCNet semantic segmentation in the mmsegmentation style, on today's PyTorch",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    cmdclass={"build_py": BuildWithConfigs},
    packages=find_packages(include=["mmseg_gc", "mmseg_gc.*"]),
    install_requires=requirements("runtime"),
    extras_require={
        "tests": requirements("tests"),
        "optional": requirements("optional"),
        "det": requirements("det"),
        "track": requirements("track"),
    },
)
