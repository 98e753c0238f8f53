"""Neural distributed image compression: learned codecs whose decoder has a correlated image at hand.

Names load on first use, so that importing the package (and asking the command line for help) takes no time.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoints.checkpoint": ["load_checkpoint", "load_pretrained", "save_checkpoint"],
        "config": ["load_config"],
        "errors": ["NDICError"],
        "io": ["read_image", "write_image"],
        "catalogue": ["MODELS"],
        "models.factory": ["build_model"],
        "models.coding.compress": ["decode", "encode"],
    },
)
