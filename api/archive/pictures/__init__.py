"""Pictures of stored images for people: previews, which are drawn when they are asked for, and thumbnails,
which are stored with the images. Routes, commands and exports use `previews` and `thumbnails`.
"""
