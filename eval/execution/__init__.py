"""How the calls of a network are executed: as they are written, replayed as CUDA graphs, or compiled.

A network of many small kernels keeps a GPU waiting for the host that launches them. A graph is one launch for all of
them; a compiled network has fewer. Either is made for calls of one signature (shapes, formats and plain arguments), so
the engine fills calls up to few sizes. The numbers differ by rounding.

    Executed    in the place of a network's forward: who answers a call
    Proven      answers faster what a trial has proven to be answered alike
    Graphs      captures and replays, by the few functions of CUDA that this takes
"""
