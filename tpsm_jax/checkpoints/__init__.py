"""Models on disk. Nothing here is imported by the package itself; take it from its file.

converted.py       save and load a checkpoint folder; load a training run as one
vgg19.py           the perceptual loss's weights, inside a checkpoint folder or alone
files.py           what lies where in these folders, and how they are replaced as a whole
steps.py           which steps a training run has saved, and which is the best
run.py             save and resume the state of a training run
structure.py       the parts of a saved state, and whether they fit a config's
workdir.py         claim a training run's folder for a config
trees.py           read a tree of arrays, in either of the next two forms
safetensors_io.py  trees of arrays in safetensors files: checkpoint folders
orbax_io.py        trees of arrays by Orbax: training runs, checkpoint folders of older versions
torch/             official PyTorch files: reader, writer, names; one layout per model family
"""
