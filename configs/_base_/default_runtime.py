# mmsegmentation's own name, so that these files run there as well; here it is read as `mmseg_gc`.
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,  # for crops and images of one size
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),  # gloo is taken where there is no GPU
)
tf32 = None  # float32 on Ampere and later GPUs; False: exact, True: matrix products in TF32 as well
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="SegLocalVisualizer", vis_backends=vis_backends, name="visualizer")
track = None  # "tensorboard", "wandb", "mlflow", or a list of them
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False

tta_model = dict(type="SegTTAModel")
