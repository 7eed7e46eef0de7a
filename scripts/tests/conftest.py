# SPDX-License-Identifier: GPL-2.0
"""Tests of the scripts, run by pytest: python3 -m pytest scripts/tests. No guest is booted."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
