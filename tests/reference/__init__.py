"""The formulas of the papers, typed again with plain loops, to check the library against.

Nothing here imports the library. Networks are called on whole batches; everything after the logits goes example by
example and class by class, on 0-dimensional tensors so that autograd can differentiate it.
"""
