"""AE-PSL in Caffe: adversarial erasing and online prohibitive segmentation learning (Wei et al., CVPR 2017)."""
