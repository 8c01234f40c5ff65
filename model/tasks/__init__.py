"""The paper's evaluation: classification, few-shot, part segmentation and the linear probe."""
