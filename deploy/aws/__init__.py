"""What deploy/ec2.py does: Capacity Blocks, one host by name, its bundle, Run Command."""
