"""Images where they lie: in tars, zips and folders, read as streams and never unpacked."""
