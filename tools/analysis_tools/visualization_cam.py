"""Draw which places of an image speak for a class, by Grad-CAM on a layer's output."""

import argparse
import re
from collections.abc import Sequence

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        example="python tools/analysis_tools/visualization_cam.py street.jpg own.py "
        "runs/first/iter_2000.pth --category-index 8 --target-layers decode_head.conv_cat",
    )
    parser.add_argument("img", help="image file")
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    parser.add_argument("--out-file", default="prediction.png", help="the drawn labels")
    parser.add_argument("--cam-file", default="vis_cam.png", help="the drawn map")
    parser.add_argument(
        "--target-layers", default="backbone.layer4[2]", help="layer; default: backbone.layer4[2]"
    )
    parser.add_argument(
        "--category-index", default="7", help="number or name of the class; default: 7"
    )
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    return parser.parse_args(arguments)


def class_number(given: str, classes: Sequence[str]) -> int:
    """The id of the class that ``given`` is, or names.

    Raises:
        UserError: there is none.
    """
    number = classes.index(given) if given in classes else int(given) if given.isdigit() else -1
    if not 0 <= number < len(classes):
        known = ", ".join(f"{index} {name}" for index, name in enumerate(classes))
        raise UserError(f"--category-index {given} is no class; there are {known}.")
    return number


def find_layer(model, name: str):
    """The module that ``name`` stands for, with places in lists as ``layer4[2]`` or ``layer4.2``.

    Raises:
        UserError: there is none.
    """
    from mmseg_gc.config import did_you_mean

    path = re.sub(r"\[(-?\d+)\]", r".\1", name.removeprefix("model."))
    try:
        return model.get_submodule(path)
    except AttributeError:
        known = [found for found, _ in model.named_modules() if found]
        hint = did_you_mean(path, known, "print(model) shows all.")
        raise UserError(f"--target-layers {name}: the model has no such layer{hint}") from None


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.apis import inference_model, init_model, show_result_pyplot
    from mmseg_gc.apis.devices import chosen_device
    from mmseg_gc.apis.inference import collate
    from mmseg_gc.apis.pixels import Loader
    from mmseg_gc.visualization.class_activation import class_activation, heat
    from mmseg_gc.visualization.drawings import write_drawing

    device = chosen_device(args.device)
    # Prepared for inference alone, layers are put together and keep no gradients.
    model = init_model(args.config, args.checkpoint, device=device, accelerate="none")
    classes = list(model.dataset_meta.get("classes") or map(str, range(model.num_classes)))
    number = class_number(args.category_index, classes)
    layer = find_layer(model, args.target_layers)
    result = inference_model(model, args.img)
    found = result.pred_sem_seg.data.unique().tolist()
    if number not in found:
        there = ", ".join(f"{index} {classes[index]}" for index in found)
        raise UserError(f"no pixel of {args.img} is labelled {classes[number]}; there are {there}.")
    sample, image = Loader(model, keeps_image=True)(args.img)
    data = model.data_preprocessor(collate([sample], aug_test=False))
    values = class_activation(model, layer, data["inputs"], number)
    show_result_pyplot(model, args.img, result, show=False, out_file=args.out_file)
    write_drawing(heat(image, values.cpu().numpy()), args.cam_file)
    print(f"The map of {classes[number]} is {args.cam_file}, the labels are {args.out_file}.")


if __name__ == "__main__":
    main()
