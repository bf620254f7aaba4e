"""The whole path on one machine, for somebody who has never seen the project: `make demo`."""
