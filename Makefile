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
$(foreach each,$(SETTINGS) TARGET,$(eval override $(each) := $$(value $(each))))

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
	@echo 'DATA=      a folder in VOC layout'
	@echo 'WEIGHTS=   a caffemodel with ImageNet weights'
	@echo 'SALIENCY=  a folder of saliency maps; without it `background.detector` computes them'
	@echo 'EXPERIMENT= what reproduce, calibrate, status run: voc12 without it; any name together with DATA='
	@echo 'GPU=       numbers of the GPUs to use, for example 0 or 0,1; or fake, fake,fake; the CPU without it'
	@echo 'TF32=1     lets a GPU multiply faster and less exactly'
	@echo 'CORES=     how many cores to use (all)'
	@echo 'ROW=       rows of tables 3 and 4: reproduce makes those alone, e.g. psl,psl++; submission packs one (psl++)'
	@echo 'PROFILE=   profiles/slurm: each stage of a run as a job of SLURM (docs/cluster.md)'
	@echo 'SLICES=    a new folder for rootfs: it takes the image in compressed slices of 60 MiB, for scripts/gpu_session'
	@echo 'NAME=      a baseline: a file prototxt/legacy/NAME.yaml'
	@echo 'MODEL=     its caffemodel, with DEPLOY= its prototxt; or a folder that has both'
	@echo 'FORMAT=md  makes report print Markdown'
	@echo 'ARGS=      further options of the command, e.g. make demo ARGS=-n only says what it would do'

demo: ## the whole method on a generated data set; minutes, needs nothing
	@[ -z "$$EXPERIMENT$$DATA$$WEIGHTS$$SALIENCY" ] || echo "$(UNUSED)" >&2
	@EXPERIMENT= DATA= WEIGHTS= SALIENCY= $(OF_DEMO) demo all $(ARGS)

rehearsal: ## the whole method on real photos: DATA=... [WEIGHTS=...] [SALIENCY=...]
	@scripts/reproduce rehearsal all $(ARGS)

reproduce: ## the paper at full size, from nothing to its tables: GPU=0 [DATA=...] [WEIGHTS=...] [EXPERIMENT=...]
	@scripts/reproduce $(OF_RUN) all $(ARGS)

calibrate: ## trains with the true masks, as DeepLab did: is the set-up sound? The same settings as reproduce
	@scripts/reproduce $(OF_RUN) calibrate $(ARGS)

submission: ## the archive for VOC's server, of psl++ or ROW=...; the same EXPERIMENT=... DATA=... WEIGHTS=... as the run
	@scripts/reproduce $(OF_RUN) submission $(ARGS)

reproduce-dry: ## what reproduce would do, how long it would take on the GPU found, and how much disk
	@$(RUN) python3 -m aepsl plan -- $(OF_RUN) || \
		{ [ $$? = 125 ] && GPU= $(RUN) python3 -m aepsl plan --gpu "$$GPU" -- $(OF_RUN); }

status: ## where the run of EXPERIMENT=... is; also while it runs
	@$(RUN) python3 -m aepsl status -- $(OF_RUN)

report: ## the tables of EXPERIMENT=...'s run, and a page in its folder; finished or not [FORMAT=md: as Markdown]
	@$(RUN) python3 -m aepsl report $${FORMAT:+--format="$$FORMAT"} -- $(OF_RUN)

baseline: ## a net of other authors as they ran it: NAME=fcn8s MODEL=... DATA=... [DEPLOY=...] [GPU=0]
	@$(RUN) python3 -m aepsl baseline $(ARGS) -- "$$NAME"

baselines: ## all baselines that were run, and AE-PSL's runs of these images, in one table: DATA=...
	@$(RUN) python3 -m aepsl baselines $(ARGS)

data: ## VOC 2012 with SBD's masks, downloaded, in data/voc12; or from your own folder VOC2012: DATA=...
	@test -z "$$DATA" || $(RUN) sh -c 'python3 -m aepsl voc --check --out data/voc12 --voc="$$DATA"'
	@test -n "$$DATA" || scripts/get_voc.sh
	@test -d "$$DATA/SegmentationClassAug" || scripts/get_sbd.sh
	@mkdir -p data/voc12
	@WRITABLE=data/voc12 $(RUN) sh -c 'python3 -m aepsl voc --out data/voc12 $${DATA:+--voc="$$DATA"}'

test: ## the tests, but for the longest
	$(RUN) $(TESTS) -m 'not long' $(ARGS) tests

test-long: ## the longest tests
	$(RUN) $(TESTS) -m long $(ARGS) tests
	tests/power_cuts 3
	tests/engines/slurm

test-gpu: export GPU := $(if $(GPU),$(GPU),fake,fake)
test-gpu: ## the tests of what a GPU alone shows, on two fake ones: [GPU=0,1 for real ones]
	$(RUN) $(TESTS) $(ARGS) tests/test_cuda.py tests/test_gpu*.py tests/test_fake_gpu.py tests/test_bench.py
	$(RUN) python3 -m aepsl check-gpu --experiment demo

torture: ## kills, power cuts (as root), full disks, damage, bad inputs, at length; writes docs/robustness.md
	test -n '$(ARGS)' || tests/power_cuts
	WRITABLE=docs $(RUN) python3 tests/torture.py parts $(ARGS)

test-report: ## looks at the demo's report in Chromium, where this machine has it; screenshots in runs/look
	@scripts/look_at_report runs/demo/report/index.html runs/look || [ $$? = 77 ]

lint: ## ruff
	$(RUN) ruff check .
	$(RUN) ruff format --check .

bench: ## speed against its bounds, and memory, also as runs/bench.json: [GPU=0]; ARGS=training for one part
	$(RUN) python3 -m aepsl bench $(ARGS)

nets: ## writes prototxt/voc12/*.prototxt, for stock Caffe, anew from experiment.yaml
	$(RUN) python3 -m aepsl build

shell: ## a shell in the image; make works there too. It can write to runs, prototxt, docs: [WRITABLE=another folder]
	@WRITABLE=$${WRITABLE:-docs} $(RUN) bash

image: ## builds the image, unless it is there and up to date
	docker/build

image-cuda: ## builds the image with CUDA, for GPU=...; needs no GPU
	docker/build cuda

check-gpu: ## says whether driver, memory and Caffe are ready to train on a GPU, and what to do: [GPU=0]
	@GPU=$${GPU:-0} $(RUN) python3 -m aepsl check-gpu

rootfs: export IMAGE := $(TARGET)
rootfs: ## exports the image as aepsl-TARGET.tar, for Apptainer and chroot: [TARGET=cuda] [SLICES=folder]
	@docker/rootfs "$$IMAGE" $${SLICES:+"$$SLICES"}

.PHONY: help demo rehearsal reproduce reproduce-dry calibrate status report baseline baselines data submission test \
	test-long test-gpu test-report torture lint bench nets shell image image-cuda check-gpu rootfs
