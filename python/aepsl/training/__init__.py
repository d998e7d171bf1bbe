"""One run of Caffe's solver: the loop, what watches it, snapshots, logs. Imports store, nets and below."""
