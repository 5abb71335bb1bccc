"""docs/results.md and its figure, made from the results of `mosaicfusion experiment minilvis`.

python -m benchmarks.experiment_report --collect exp    # copy the results of an experiment to benchmarks/results/minilvis
python -m benchmarks.experiment_report                  # write docs/results.md and docs/images/results.png

All numbers come from the json files; the text is in ``page.md.j2``.
"""
