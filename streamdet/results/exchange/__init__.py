"""Files of detections in the forms of other programs: COCO results, CSV, YOLO and MOT text, Parquet; and back."""
