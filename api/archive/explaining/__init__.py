"""Why a text fits an image, and why two images are alike: places, shown on the pictures themselves."""
