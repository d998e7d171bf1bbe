# Everything runs inside the image (docker/), which the first command builds.
DATA ?=
WEIGHTS ?=
SALIENCY ?=
EXPERIMENT ?=
GPU ?=
TF32 ?=
ROW ?=
FORMAT ?=
PROFILE ?=
SLICES ?=
NAME ?=
MODEL ?=
DEPLOY ?=
CORES ?= all
ARGS ?=
SETTINGS = DATA WEIGHTS SALIENCY EXPERIMENT GPU TF32 PROFILE CORES ROW SLICES FORMAT NAME MODEL DEPLOY
export $(SETTINGS)
# Commands get a setting as it was typed: $ in it means nothing to make.
# Only what is typed behind make names an image: other software has variables TARGET too.
ifeq ($(origin TARGET),command line)
export AEPSL_TARGET := $(value TARGET)
endif
$(foreach each,$(SETTINGS) TARGET,$(eval override $(each) := $$(value $(each))))

# A recipe that takes long is an `exec`: docker/run then sees that make was killed.
RUN = docker/run
# Test files side by side: one at a time on each core, at most eight.
TESTS = python3 -m pytest -q -n auto --maxprocesses 8 --dist loadfile
OF_RUN = "$${EXPERIMENT:-voc12}"
# On a cluster the jobs are started from outside of the image.
OF_DEMO = $(if $(value PROFILE),scripts/reproduce,$(RUN) python3 -m aepsl run)
UNUSED = warning: the demo draws its own data; EXPERIMENT, DATA, WEIGHTS and SALIENCY are not used

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'DATA=       a folder in VOC layout'
	@echo 'WEIGHTS=    a caffemodel with ImageNet weights'
	@echo 'SALIENCY=   a folder of saliency maps; without it `background.detector` in experiment.yaml computes them'
	@echo 'EXPERIMENT= a folder of prototxt/ (default voc12), or a new name for the data in DATA='
	@echo 'GPU=        numbers of the GPUs to use, e.g. 0 or 0,1; fake or fake,fake: fake GPUs; without it the CPU is used'
	@echo 'TF32=1      lets a GPU use TF32: faster, less exact'
	@echo 'CORES=      how many CPU cores to use (default all)'
	@echo 'ROW=        rows of tables 3 and 4: only these for reproduce, e.g. psl,psl++; one for submission (default psl++)'
	@echo 'PROFILE=    profiles/slurm: each stage of a run as a job of SLURM (docs/cluster.md)'
	@echo 'SLICES=     a new folder, to which rootfs writes the image in slices of 60 MiB for scripts/gpu_session'
	@echo 'NAME=       a baseline: prototxt/legacy/NAME.yaml'
	@echo 'MODEL=      the caffemodel of a baseline, with its prototxt in DEPLOY=; or a folder that has both'
	@echo 'FORMAT=md   makes report print Markdown'
	@echo 'ARGS=       more options for the command; make demo ARGS=-n only lists what would be done'

demo: ## the whole method on generated images: minutes, no download, no GPU
	@[ -z "$$EXPERIMENT$$DATA$$WEIGHTS$$SALIENCY" ] || echo "$(UNUSED)" >&2
	@exec env EXPERIMENT= DATA= WEIGHTS= SALIENCY= $(OF_DEMO) demo all $(ARGS)

rehearsal: ## the whole method on real photos: DATA=... [WEIGHTS=...] [SALIENCY=...]
	@exec scripts/reproduce rehearsal all $(ARGS)

reproduce: ## the paper at full size, from downloads to tables: GPU=0 [DATA=...] [WEIGHTS=...] [EXPERIMENT=...]
	@exec scripts/reproduce $(OF_RUN) all $(ARGS)

calibrate: ## trains with the true masks, to check the set-up; the same settings as reproduce
	@exec scripts/reproduce $(OF_RUN) calibrate $(ARGS)

submission: ## the archive for VOC's server, of psl++ or ROW=...; EXPERIMENT=, DATA=, WEIGHTS= as for the run
	@exec scripts/reproduce $(OF_RUN) submission $(ARGS)

reproduce-dry: ## the stages of reproduce, with expected hours on the GPU found, and disk
	@$(RUN) python3 -m aepsl plan -- $(OF_RUN) || \
		{ [ $$? = 125 ] && GPU= $(RUN) python3 -m aepsl plan --gpu "$$GPU" -- $(OF_RUN); }

status: ## progress of the run of EXPERIMENT=..., also while it runs
	@$(RUN) python3 -m aepsl status -- $(OF_RUN)

report: ## prints the tables of the run of EXPERIMENT=..., finished or not, and writes its page [FORMAT=md]
	@$(RUN) python3 -m aepsl report $${FORMAT:+--format="$$FORMAT"} -- $(OF_RUN)

baseline: ## a net of other authors as they tested it: NAME=fcn8s MODEL=... DATA=... [DEPLOY=...] [GPU=0]
	@exec $(RUN) python3 -m aepsl baseline $(ARGS) -- "$$NAME"

baselines: ## all finished baselines and AE-PSL's runs of the same images in one table: DATA=...
	@exec $(RUN) python3 -m aepsl baselines $(ARGS)

data: ## makes data/voc12, VOC 2012 with SBD's masks, from downloads, or from your folder VOC2012 in DATA=...
	@test -z "$$DATA" || $(RUN) sh -c 'python3 -m aepsl voc --check --out data/voc12 --voc="$$DATA"'
	@test -n "$$DATA" || scripts/get_voc.sh
	@test -d "$$DATA/SegmentationClassAug" || scripts/get_sbd.sh
	@mkdir -p data/voc12
	@WRITABLE=data/voc12 $(RUN) sh -c 'python3 -m aepsl voc --out data/voc12 $${DATA:+--voc="$$DATA"}'

test: ## the tests, except for the longest
	$(RUN) $(TESTS) -m 'not long' $(ARGS) tests

test-long: ## the longest tests
	$(RUN) $(TESTS) -m long $(ARGS) tests
	tests/power_cuts 3

test-engines: ## with a real SLURM and a real Docker, which it installs, starts and ends; as root
	tests/engines/slurm
	tests/engines/docker

test-gpu: export GPU := $(if $(GPU),$(GPU),fake,fake)
test-gpu: ## the tests that need GPUs, on two fake ones: [GPU=0,1 for real ones]
	$(RUN) $(TESTS) $(ARGS) tests/test_cuda.py tests/test_gpu*.py tests/test_fake_gpu.py tests/test_bench.py
	$(RUN) python3 -m aepsl check-gpu --experiment demo

torture: ## kills, power cuts (as root), full disks, damage, bad inputs; long; writes docs/robustness.md
	test -n '$(ARGS)' || tests/power_cuts
	WRITABLE=docs $(RUN) python3 tests/torture.py parts $(ARGS)

test-report: ## opens the demo's report in Chromium, if installed; screenshots in runs/look
	@scripts/look_at_report runs/demo/report/index.html runs/look || [ $$? = 77 ]

lint: ## ruff, and mypy for what has types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

bench: ## speed beside its bounds, and memory; also writes runs/bench.json: [GPU=0] [ARGS=training for one part]
	$(RUN) python3 -m aepsl bench $(ARGS)

nets: ## writes prototxt/voc12/*.prototxt, for stock Caffe, from experiment.yaml
	$(RUN) python3 -m aepsl build

shell: ## a shell in the image, in which make works too; writes to runs, prototxt and docs [or WRITABLE=folder]
	@WRITABLE=$${WRITABLE:-docs}; export WRITABLE; exec $(RUN) bash

image: ## builds the image if it is missing or out of date
	docker/build

image-cuda: ## builds the image with CUDA, for GPU=...; needs no GPU
	docker/build cuda

check-gpu: ## checks driver, memory and Caffe for training on a GPU, and says what to do: [GPU=0]
	@GPU=$${GPU:-0} $(RUN) python3 -m aepsl check-gpu

rootfs: ## exports the image as aepsl-TARGET.tar, for Apptainer and chroot: [TARGET=cuda] [SLICES=folder]
	@docker/rootfs "$$AEPSL_TARGET" $${SLICES:+"$$SLICES"}

.PHONY: help demo rehearsal reproduce reproduce-dry calibrate status report baseline baselines data submission test \
	test-long test-engines test-gpu test-report torture lint bench nets shell image image-cuda check-gpu rootfs
