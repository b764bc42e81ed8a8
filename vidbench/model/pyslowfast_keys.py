"""The keys of PySlowFast's configuration files: their defaults where they matter here, and what the others are for.

Source: names and defaults of `slowfast/config/defaults.py` of facebookresearch/SlowFast (commits 00eb2b4 and 287ec00).
"""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "TRAIN.DATASET": "kinetics",
    "TRAIN.BATCH_SIZE": 64,
    "TRAIN.CHECKPOINT_FILE_PATH": "",
    "TRAIN.MIXED_PRECISION": False,
    "BN.USE_PRECISE_STATS": False,
    "BN.NUM_BATCHES_PRECISE": 200,
    "AUG.ENABLE": False,
    "AUG.NUM_SAMPLE": 1,
    "AUG.AA_TYPE": "rand-m9-mstd0.5-inc1",
    "AUG.RE_PROB": 0.25,
    "AUG.RE_MODE": "pixel",
    "MIXUP.ENABLE": False,
    "MIXUP.ALPHA": 0.8,
    "MIXUP.CUTMIX_ALPHA": 1.0,
    "MIXUP.PROB": 1.0,
    "MIXUP.SWITCH_PROB": 0.5,
    "MIXUP.LABEL_SMOOTH_VALUE": 0.1,
    "TEST.NUM_ENSEMBLE_VIEWS": 10,
    "TEST.NUM_SPATIAL_CROPS": 3,
    "MODEL.ARCH": "slowfast",
    "MODEL.DROPOUT_RATE": 0.5,
    "MODEL.FROZEN_BN": False,
    "MODEL.ACT_CHECKPOINT": False,
    "RESNET.DEPTH": 50,
    "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3], [4], [6], [3]],
    "NONLOCAL.LOCATION": [[[]], [[]], [[]], [[]]],
    "SLOWFAST.ALPHA": 8,
    "MVIT.DEPTH": 16,
    "MVIT.USE_ABS_POS": True,
    "MVIT.REV.ENABLE": False,
    "DATA.NUM_FRAMES": 8,
    "DATA.SAMPLING_RATE": 8,
    "DATA.TARGET_FPS": 30,
    "DATA.MEAN": [0.45, 0.45, 0.45],
    "DATA.STD": [0.225, 0.225, 0.225],
    "DATA.TRAIN_JITTER_SCALES": [256, 320],
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": [],
    "DATA.INV_UNIFORM_SAMPLE": False,
    "DATA.TRAIN_CROP_SIZE": 224,
    "DATA.TEST_CROP_SIZE": 256,
    "DATA.RANDOM_FLIP": True,
    "DATA.MULTI_LABEL": False,
    "DATA.ENSEMBLE_METHOD": "sum",
    "DATA.USE_OFFSET_SAMPLING": False,
    "DATA.COLOR_RND_GRAYSCALE": 0.0,
    "DETECTION.ENABLE": False,
    "DETECTION.ALIGNED": True,
    "AVA.DETECTION_SCORE_THRESH": 0.9,
    "AVA.IMG_PROC_BACKEND": "cv2",
    "SOLVER.BASE_LR": 0.1,
    "SOLVER.LR_POLICY": "cosine",
    "SOLVER.COSINE_END_LR": 0.0,
    "SOLVER.COSINE_AFTER_WARMUP": False,
    "SOLVER.STEPS": [],
    "SOLVER.LRS": [],
    "SOLVER.MAX_EPOCH": 300,
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.WEIGHT_DECAY": 1e-4,
    "SOLVER.WARMUP_EPOCHS": 0.0,
    "SOLVER.WARMUP_START_LR": 0.01,
    "SOLVER.OPTIMIZING_METHOD": "sgd",
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": False,
    "SOLVER.CLIP_GRAD_L2NORM": None,
    "SOLVER.LAYER_DECAY": 1.0,
    "NUM_SHARDS": 1,
    "RNG_SEED": 1,
}
"""Keys that settings of ours are made of."""

SAME: dict[str, tuple[tuple[Any, ...], str]] = {
    "SOLVER.NESTEROV": ((True,), "SGD is Nesterov's"),
    "SOLVER.DAMPENING": ((0.0,), "SGD has no dampening"),
    "SOLVER.ZERO_WD_1D_PARAM": ((True,), "biases and normalisation never have weight decay"),
    "SOLVER.CLIP_GRAD_VAL": ((None,), "gradients are clipped by their norm alone"),
    "SOLVER.LARS_ON": ((False,), "there is no LARS"),
    "SOLVER.BETAS": (([0.9, 0.999], (0.9, 0.999)), "AdamW has torch's betas"),
    "BN.WEIGHT_DECAY": ((0.0,), "normalisation never has weight decay"),
    "BN.MOMENTUM": ((0.1,), "normalisation has the network's own momentum"),
    "BN.NORM_TYPE": (("batchnorm",), "each process normalises its own batch unless --sync-bn is typed"),
    "BN.NUM_SPLITS": ((1,), "batches are not split for normalisation"),
    "BN.NUM_SYNC_DEVICES": ((1,), "--sync-bn is for all processes"),
    "BN.GLOBAL_SYNC": ((False,), "--sync-bn is for all processes"),
    "AUG.RE_COUNT": ((1,), "one rectangle is erased"),
    "AUG.RE_SPLIT": ((False,), "all clips may be erased"),
    "AUG.INTERPOLATION": (("bilinear",), "frames are scaled bilinearly"),
    "AUG.COLOR_JITTER": ((None, 0.4), "RandAugment takes its place, as in PySlowFast"),
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": (
        ([], [0.75, 1.3333], [0.75, 1.333], [3 / 4, 4 / 3]),
        "a random part has an aspect of 3/4 to 4/3",
    ),
    "DATA.TRAIN_JITTER_MOTION_SHIFT": ((False,), "the crop does not move in a clip"),
    "DATA.TRAIN_JITTER_FPS": ((0.0,), "the frame rate is not drawn"),
    "DATA.REVERSE_INPUT_CHANNEL": ((True, False), "clips always have red first"),
    "DATA.INPUT_CHANNEL_NUM": (([3], [3, 3]), "clips have three colours"),
    "AVA.BGR": ((False,), "clips always have red first"),
    "AVA.TRAIN_USE_COLOR_AUGMENTATION": ((False,), "--augment jitter-... says what happens to colours"),
    "AVA.TEST_FORCE_FLIP": ((False,), "tests do not flip"),
    "DETECTION.SPATIAL_SCALE_FACTOR": ((16,), "the network says it"),
    "MODEL.DROPCONNECT_RATE": ((0.0,), "residual blocks are not dropped"),
    "MODEL.DETACH_FINAL_FC": ((False,), "--freeze backbone trains the head alone"),
    "MULTIGRID.SHORT_CYCLE": ((False,), "there are no multigrid schedules"),
    "MULTIGRID.LONG_CYCLE": ((False,), "there are no multigrid schedules"),
    "TRAIN.ENABLE": ((True,), "`model finetune` trains"),
    "TRAIN.CHECKPOINT_INFLATE": ((False,), "weights of images are not inflated"),
    "TASK": (("",), "there is no self-supervised pre-training"),
}
"""Keys whose meaning is fixed here: the values that mean just that, and what it is."""

_TESTS, _NETWORK = "a test is `model eval`", "the network is the one of the catalogue, as it is"
_SHOWN = "`--tensorboard` and the report show what there is"
_LABELLED = "the set and `model eval --task detect` say it"
_EYES = "`vidbench model predict` shows a model at work"

IDLE: dict[str, tuple[str, str]] = {
    "TRAIN": (
        "EVAL_PERIOD CHECKPOINT_PERIOD AUTO_RESUME CHECKPOINT_TYPE CHECKPOINT_EPOCH_RESET "
        "CHECKPOINT_CLEAR_NAME_PATTERN CHECKPOINT_IN_INIT KILL_LOSS_EXPLOSION_FACTOR",
        "every epoch is stored, the same command resumes, and --init reads any file that it knows",
    ),
    "TEST": (
        "ENABLE DATASET BATCH_SIZE CHECKPOINT_FILE_PATH CHECKPOINT_TYPE SAVE_RESULTS_PATH NUM_TEMPORAL_CLIPS", _TESTS
    ),
    "RESNET": (
        "TRANS_FUNC NUM_GROUPS WIDTH_PER_GROUP INPLACE_RELU STRIDE_1X1 ZERO_INIT_FINAL_BN ZERO_INIT_FINAL_CONV "
        "SPATIAL_STRIDES SPATIAL_DILATIONS", _NETWORK,
    ),
    "X3D": (
        "WIDTH_FACTOR DEPTH_FACTOR BOTTLENECK_FACTOR DIM_C5 DIM_C1 SCALE_RES2 BN_LIN5 CHANNELWISE_3x3x3", _NETWORK
    ),
    "NONLOCAL": ("GROUP INSTANTIATION POOL", _NETWORK),
    "SLOWFAST": ("BETA_INV FUSION_CONV_CHANNEL_RATIO FUSION_KERNEL_SZ", _NETWORK),
    "MODEL": (
        "MODEL_NAME NUM_CLASSES SINGLE_PATHWAY_ARCH MULTI_PATHWAY_ARCH FC_INIT_STD LOSS_FUNC HEAD_ACT FP16_ALLREDUCE "
        "INIT_METHOD CKPT", "the catalogue, --task and --init say it",
    ),
    "MVIT": (
        "MODE POOL_FIRST CLS_EMBED_ON PATCH_KERNEL PATCH_STRIDE PATCH_PADDING PATCH_2D EMBED_DIM NUM_HEADS MLP_RATIO "
        "QKV_BIAS DROPPATH_RATE NORM DIM_MUL HEAD_MUL POOL_KV_STRIDE POOL_KV_STRIDE_ADAPTIVE POOL_Q_STRIDE "
        "POOL_KVQ_KERNEL ZERO_DECAY_POS_CLS NORM_STEM SEP_POS_EMBED DROPOUT_RATE REL_POS_SPATIAL REL_POS_TEMPORAL "
        "REL_POS_ZERO_INIT RESIDUAL_POOLING DIM_MUL_IN_ATT SEPARATE_QKV HEAD_INIT_SCALE USE_MEAN_POOLING "
        "USE_FIXED_SINCOS_POS LAYER_SCALE_INIT_VALUE REV.RESPATH_FUSE REV.BUFFER_LAYERS REV.RES_PATH "
        "REV.PRE_Q_FUSION", _NETWORK,
    ),
    "DATA": (
        "PATH_TO_DATA_DIR PATH_LABEL_SEPARATOR PATH_PREFIX PATH_TO_PRELOAD_IMDB DECODING_BACKEND DECODING_SHORT_SIZE "
        "TRAIN_PCA_EIGVAL TRAIN_PCA_EIGVEC DUMMY_LOAD LOADER_CHUNK_SIZE LOADER_CHUNK_OVERALL_SIZE SKIP_ROWS "
        "TRAIN_CROP_NUM_TEMPORAL TRAIN_CROP_NUM_SPATIAL TIME_DIFF_PROB IN22K_TRAINVAL IN22k_VAL_IN1K SSL_COLOR_JITTER "
        "SSL_COLOR_BRI_CON_SAT SSL_COLOR_HUE SSL_MOCOV2_AUG SSL_BLUR_SIGMA_MAX SSL_BLUR_SIGMA_MIN",
        "LIST, --root and --decoder say where the data is and how it is read",
    ),
    "AUG": ("GEN_MASK_LOADER MASK_TUBE MASK_FRAMES MASK_WINDOW_SIZE MASK_RATIO MAX_MASK_PATCHES_PER_BLOCK",
            "there is no masked pre-training"),
    "DETECTION": ("ROI_XFORM_RESOLUTION", "the detection head says it"),
    "AVA": (
        "FRAME_DIR FRAME_LIST_DIR ANNOTATION_DIR TRAIN_LISTS TEST_LISTS TRAIN_GT_BOX_LISTS TRAIN_PREDICT_BOX_LISTS "
        "TEST_PREDICT_BOX_LISTS TRAIN_PCA_JITTER_ONLY TRAIN_PCA_EIGVAL TRAIN_PCA_EIGVEC FULL_TEST_ON_VAL "
        "LABEL_MAP_FILE EXCLUSION_FILE GROUNDTRUTH_FILE", _LABELLED,
    ),
    "SOLVER": ("GAMMA STEP_SIZE WARMUP_FACTOR LARS_ON", "PySlowFast's own policies do not read it either"),
    "MULTIGRID": (
        "EPOCH_FACTOR SHORT_CYCLE_FACTORS LONG_CYCLE_FACTORS BN_BASE_SIZE EVAL_FREQ LONG_CYCLE_SAMPLING_RATE "
        "DEFAULT_B DEFAULT_T DEFAULT_S", "there are no multigrid schedules",
    ),
    "DATA_LOADER": ("NUM_WORKERS PIN_MEMORY ENABLE_MULTI_THREAD_DECODE", "--workers says how many threads decode"),
    "TENSORBOARD": (
        "ENABLE PREDICTIONS_PATH LOG_DIR CLASS_NAMES_PATH CATEGORIES_PATH CONFUSION_MATRIX.ENABLE "
        "CONFUSION_MATRIX.FIGSIZE CONFUSION_MATRIX.SUBSET_PATH HISTOGRAM.ENABLE HISTOGRAM.SUBSET_PATH HISTOGRAM.TOPK "
        "HISTOGRAM.FIGSIZE MODEL_VIS.ENABLE MODEL_VIS.MODEL_WEIGHTS MODEL_VIS.ACTIVATIONS MODEL_VIS.INPUT_VIDEO "
        "MODEL_VIS.LAYER_LIST MODEL_VIS.TOPK_PREDS MODEL_VIS.COLORMAP MODEL_VIS.GRAD_CAM.ENABLE "
        "MODEL_VIS.GRAD_CAM.LAYER_LIST MODEL_VIS.GRAD_CAM.USE_TRUE_LABEL MODEL_VIS.GRAD_CAM.COLORMAP "
        "WRONG_PRED_VIS.ENABLE WRONG_PRED_VIS.TAG WRONG_PRED_VIS.SUBSET_PATH", _SHOWN,
    ),
    "DEMO": (
        "ENABLE LABEL_FILE_PATH WEBCAM INPUT_VIDEO DISPLAY_WIDTH DISPLAY_HEIGHT DETECTRON2_CFG DETECTRON2_WEIGHTS "
        "DETECTRON2_THRESH BUFFER_SIZE OUTPUT_FILE OUTPUT_FPS INPUT_FORMAT CLIP_VIS_SIZE NUM_VIS_INSTANCES PREDS_BOXES "
        "THREAD_ENABLE NUM_CLIPS_SKIP GT_BOXES STARTING_SECOND FPS VIS_MODE COMMON_CLASS_THRES UNCOMMON_CLASS_THRES "
        "COMMON_CLASS_NAMES SLOWMO", _EYES,
    ),
    "BENCHMARK": ("NUM_EPOCHS LOG_PERIOD SHUFFLE", "data time is in every run's records"),
    "": ("NUM_GPUS SHARD_ID OUTPUT_DIR LOG_PERIOD LOG_MODEL_INFO DIST_BACKEND", "--device, --devices and --out say it"),
}  # fmt: skip
"""Known keys without effect here, section by section, and why."""

WHOLE: dict[str, str] = {
    "CONTRASTIVE": "there is no self-supervised pre-training",
    "MASK": "there is no masked pre-training",
    "VIS_MASK": "there is no masked pre-training",
}
"""Sections without effect here whatever stands in them."""


def idle_reason(key: str) -> str | None:
    """Why a known key has no effect; None where it is not such a key."""
    section, dot, name = key.partition(".")
    if dot and section in WHOLE:
        return WHOLE[section]
    names, reason = IDLE.get(section if dot else "", ("", ""))
    return reason if (name if dot else section) in names.split() else None
