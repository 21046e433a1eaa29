"""Training: a COCO data set and a config in, a checkpoint out.

=================  =======================================================================
``run``            :func:`train`, the whole of it
``task``           what is to be learnt, from what and how; checked before anything starts
``learner``        one step: losses, gradients, weights, their moving average
``evaluation``     average precision of the averaged weights
``examples``       one picture, changed at random, and what the network should say about it
``batches``        which pictures, in which order, made by which processes
``files``          what a run leaves in its folder
=================  =======================================================================
"""
