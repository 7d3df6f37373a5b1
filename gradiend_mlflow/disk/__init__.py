"""Places on this machine's disk: private folders of ours, and directories that others have filled."""
