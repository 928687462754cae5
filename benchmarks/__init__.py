"""How fast the product is, measured beside its peers in one run; `make bench` runs it all.

Each module measures one thing, returns figures and can be run by itself, from the project's folder:
python -m benchmarks.NAME. Only ratios within one run say something about another machine.
"""
