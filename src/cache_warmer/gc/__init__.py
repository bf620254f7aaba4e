"""What nobody needs any more: found by pure rules over what is on the disk, shown, and deleted only when told."""
