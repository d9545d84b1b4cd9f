"""Make the model fast before it is tested."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmseg_gc.engine.acceleration import prepare_for_inference
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class PrepareModelHook(Hook):
    """Call `prepare_for_inference` when the weights are loaded and the test begins.

    ``accelerate`` is the config's key of this name, unless it is given.
    """

    def __init__(
        self, precision: str = "fp32", compile: bool = False, accelerate: str | None = None
    ) -> None:
        self.precision = precision
        self.compile = compile
        self.accelerate = accelerate

    def before_test(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        prepare_for_inference(
            model,
            precision=self.precision,
            compile=self.compile,
            accelerate=self.accelerate or runner.cfg.get("accelerate", "auto"),
        )
