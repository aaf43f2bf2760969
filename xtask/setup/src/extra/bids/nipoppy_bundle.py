"""Loads a folder as Nipoppy loads a pipeline: its config, descriptor, invocations, tracker and job settings."""
import sys
from pathlib import Path

from nipoppy.pipeline_validation import check_pipeline_bundle

check_pipeline_bundle(Path(sys.argv[1]), strict=True)
