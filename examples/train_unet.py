"""Train a U-Net on a folder of Classified_Tiles and print how good it is.

python examples/train_unet.py chips models/landcover
"""

import sys

import chipwright

if __name__ == "__main__":  # loader processes import this file again
    chips, out = sys.argv[1:3]
    run = chipwright.train(chips, out, model_type="UNET", max_epochs=20, split="block")
    print(f"Mean IoU {run.metrics['miou']:.3f} after epoch {run.best_epoch}; the package is {run.out_model_file}")
