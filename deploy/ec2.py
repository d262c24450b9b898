"""`python -m deploy.ec2`: one trn2 host on EC2, from a Capacity Block to nothing left."""

from __future__ import annotations

from deploy.aws.cli import main

if __name__ == "__main__":
    main(prog_name="python -m deploy.ec2")
