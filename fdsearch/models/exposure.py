"""What is done about exposure before a network sees a picture, as layers of the model, so that exports do the same.

`frame` puts them between the pictures and an architecture's own scaling.

Both work on one picture alone, so neither needs numbers of the training set. The gray bars of ``resize: pad`` count as
part of the picture: they pull its mean towards their gray and its deviation down. Where parts differ in aspect, prefer
``stretch`` or ``crop`` with them.

References
----------
.. [1] Jarrett, Kavukcuoglu, Ranzato, LeCun: What is the best multi-stage architecture for object recognition? ICCV
   2009, section 2 (subtractive and divisive normalisation; here over a plain window instead of a Gaussian one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

TYPICAL_MEAN, TYPICAL_DEVIATION = 117.0, 57.0
"""Gray values 0 to 255 that mean 0 and deviation 1 become, those of a photograph of ImageNet: 0.299 R + 0.587 G +
0.114 B of the published means, and about the deviation of each channel. There lies what a backbone's weights were
trained on. Values beyond 0 to 255 are not cut off: a defect may be what is beyond."""

SHARE = 8
"""The window of the local contrast is this part of the picture's side."""

FLOOR = (2 / 255) ** 2
"""Added to a variance, of gray values 0 to 1: about a sensor's noise, so that an empty picture stays empty."""


def evened(pictures: keras.KerasTensor, exposure: str) -> keras.KerasTensor:
    """Take exposure and contrast out of pictures.

    Parameters
    ----------
    pictures : KerasTensor, shape (None, size, size, 1)
        Gray values 0 to 255.
    exposure : {"standardise", "local_contrast"}
        ``standardise``: less its mean, by its deviation. ``local_contrast``: each pixel less the mean of the window
        around it, by the deviation there or by the picture's mean deviation, whichever is larger [1]_; the window ends
        at the border.

    Returns
    -------
    KerasTensor of float32, shape (None, size, size, 1)
        Mean 0 and deviation 1; with ``local_contrast`` about that. For a picture times a gain plus an offset the same,
        but for `FLOOR`.
    """
    from keras import layers

    gray = layers.Rescaling(1 / 255, name="gray")(pictures)
    if exposure == "standardise":
        return layers.LayerNormalization((1, 2, 3), FLOOR, center=False, scale=False, name="standardised")(gray)
    return _local_contrast(gray)


def _local_contrast(gray: keras.KerasTensor) -> keras.KerasTensor:
    from keras import layers, ops

    window = max(3, gray.shape[1] // SHARE | 1)  # odd: a pixel is in the middle of its window
    difference = layers.Subtract(name="local_difference")([gray, _local_mean(gray, window, "local_mean")])
    squares = layers.Multiply(name="local_squares")([difference, difference])
    variance = layers.Rescaling(1.0, FLOOR, name="local_floor")(_local_mean(squares, window, "local_variance"))
    deviation = ops.sqrt(variance)
    usual = layers.GlobalAveragePooling2D(keepdims=True, name="usual_deviation")(deviation)
    return ops.divide(difference, layers.Maximum(name="local_deviation")([deviation, usual]))


def _local_mean(values: keras.KerasTensor, window: int, name: str) -> keras.KerasTensor:
    """Means over windows, row by column: what a square window gives, also at the border, in 2 steps instead of n."""
    from keras import layers

    rows = layers.AveragePooling2D((window, 1), strides=1, padding="same", name=f"{name}_rows")(values)
    return layers.AveragePooling2D((1, window), strides=1, padding="same", name=name)(rows)
