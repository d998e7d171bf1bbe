# Everything runs inside the image (docker/), which the first command builds.
DATA ?=
WEIGHTS ?=
SALIENCY ?=
EXPERIMENT ?=
GPU ?=
TF32 ?=
ROW ?=
PROFILE ?=
CORES ?= all
ARGS ?=
export DATA WEIGHTS SALIENCY EXPERIMENT GPU TF32 PROFILE CORES ROW

RUN = docker/run
NAME = $(or $(EXPERIMENT),voc12)
comma = ,
GPUS = $(words $(subst $(comma), ,$(GPU)))
OPTIONS = $(if $(PROFILE),--profile $(PROFILE),--cores $(CORES)) --log-handler-script python/aepsl/tools/progress.py --rerun-incomplete --nolock $(ARGS)
SNAKEMAKE = $(RUN) snakemake $(OPTIONS) --config gpus=$(GPUS)
PLAN = $(RUN) sh -c 'snakemake --list --config experiment=$(NAME) >/dev/null && python3 -m aepsl plan $(NAME) --gpus $(GPUS)'
INPUTS = $${DATA:+data="$$(realpath "$$DATA")"} $${WEIGHTS:+weights="$$(realpath "$$WEIGHTS")"} \
	$${SALIENCY:+saliency="$$(realpath "$$SALIENCY")"}

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'DATA=      a folder in VOC layout'
	@echo 'WEIGHTS=   a caffemodel with ImageNet weights'
	@echo 'SALIENCY=  a folder of saliency maps; without it they are computed'
	@echo 'EXPERIMENT= what reproduce, calibrate, status run: voc12 without it; any name together with DATA='
	@echo 'GPU=       numbers of the GPUs to use, for example 0 or 0,1; the CPU without it'
	@echo 'TF32=1     lets a GPU multiply faster and less exactly'
	@echo 'CORES=     how many cores to use (all)'
	@echo 'ROW=       what make submission packs: psl++ without it; ae_step3, psl+gt, ...: a row of tables 3 and 4'
	@echo 'PROFILE=   profiles/slurm: each job of reproduce as a job of SLURM'
	@echo 'ARGS=      further options of the command, e.g. make demo ARGS=-n only says what it would do'

demo: ## the whole method on a generated data set; minutes, needs nothing
	$(SNAKEMAKE) experiment=demo

rehearsal: ## the whole method on real photos: DATA=... WEIGHTS=... [SALIENCY=...]
	@test -n "$$DATA" || { echo 'Which data? make rehearsal DATA=folder in VOC layout WEIGHTS=caffemodel' >&2; exit 2; }
	@test -n "$$WEIGHTS" || { echo 'Which weights? make rehearsal DATA=... WEIGHTS=squeezenet_v1.0.caffemodel' >&2; exit 2; }
	$(SNAKEMAKE) experiment=rehearsal $(INPUTS)

reproduce: ## the paper at full size, from nothing to its tables: GPU=0 [DATA=...] [WEIGHTS=...] [EXPERIMENT=...]
	scripts/reproduce all $(OPTIONS)

calibrate: ## trains with the true masks, as DeepLab did: is the set-up sound? The same settings as reproduce
	scripts/reproduce calibrate $(OPTIONS)

reproduce-dry: ## what reproduce would do, how long it would take on the GPU found, and how much disk
	@GPU= $(RUN) python3 -m aepsl new-experiment $(NAME) $${DATA:+--data "$$(realpath "$$DATA")"}
	@$(PLAN) || { [ $$? = 125 ] && GPU= $(PLAN); }

status: ## where the run of EXPERIMENT=... is; also while it runs
	@$(RUN) python3 -m aepsl status runs/$(NAME)

report: ## the tables of EXPERIMENT=...'s finished run
	@$(RUN) python3 -m aepsl report runs/$(NAME)

data: ## VOC 2012 with SBD's masks, downloaded, in data/voc12; or from your own folder VOC2012: DATA=...
	@test -n "$$DATA" || scripts/get_voc.sh
	@test -d "$$DATA/SegmentationClassAug" || scripts/get_sbd.sh
	$(RUN) python3 -m aepsl voc --out data/voc12 $${DATA:+--voc "$$(realpath "$$DATA")"}

submission: ## the archive for VOC's server, of psl++ or ROW=...; the same EXPERIMENT=... DATA=... WEIGHTS=... as the run
	scripts/reproduce submission $(OPTIONS)

test: ## the tests
	$(RUN) python3 -m pytest -q $(ARGS) tests

lint: ## ruff
	$(RUN) ruff check .
	$(RUN) ruff format --check .

bench: ## speed against its bounds, and memory; ARGS=training for one part
	$(RUN) python3 -m aepsl bench $(ARGS)

nets: ## writes the prototxts anew
	$(RUN) python3 -m aepsl build

shell: ## a shell in the image; every make target works there too
	$(RUN) bash

image: ## builds the image, unless it is there and up to date
	docker/build

image-cuda: ## builds the image with CUDA, for GPU=...; needs no GPU
	docker/build cuda

check-gpu: ## says whether driver, memory and Caffe are ready to train on a GPU, and what to do: [GPU=0]
	@GPU=$${GPU:-0} $(RUN) python3 -m aepsl check-gpu || \
		{ [ $$? = 125 ] && GPU= TARGET=cuda $(RUN) python3 -m aepsl check-gpu; }

rootfs: ## exports the image as aepsl-TARGET.tar, for Apptainer and chroot: [TARGET=cuda]
	docker/rootfs $(TARGET)

.PHONY: help demo rehearsal reproduce reproduce-dry calibrate status report data submission test lint bench nets shell \
	image image-cuda check-gpu rootfs
