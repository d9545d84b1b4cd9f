_base_ = "./fpn_r50_4xb4-160k_ade20k-512x512.py"
