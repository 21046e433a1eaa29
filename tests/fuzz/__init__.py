"""A fuzzer of everything that reads what users hand in.

It mutates good inputs and holds the package to one promise: an operation gives a valid result, or raises
one of the package's errors with a message of one line. Every other exception, the death of the process,
growth by more than a gigabyte, a hang, and a file that is left behind are failures. ``docs/fuzzing.md`` says
how to run it.

Why the mutators are our own. Most inputs reach C++ (three engines, OpenCV, torch), where a fault ends the
process: each case must be known before it runs, and the next must run in another process. *Atheris* keeps
fuzzer and target in one process and ends with the first crash; it is guided by coverage, and the libraries
were not built to tell theirs. *Hypothesis* shrinks well and suits small values of pure Python, but its
examples follow from its version as well as from a seed, and are drawn in the process that runs them. Here
a case is a kind and a number: the same bytes on every machine, before and after a restart.
"""
