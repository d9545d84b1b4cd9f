"""What pyproject.toml can't say: configs, tools and demos go into the wheel as well."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Put configs, tools and demos at ``mmseg_gc/.mim``, where openmim looks for them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # they are beside the package
        for folder in ("configs", "tools", "demo"):
            target = Path(self.build_lib) / "mmseg_gc" / ".mim" / folder
            self.copy_tree(str(HERE / folder), str(target))


setup(cmdclass={"build_py": BuildWithConfigs})
