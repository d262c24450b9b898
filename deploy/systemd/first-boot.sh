#!/bin/bash
# User data: runs once, as root, at an instance's first boot. Names in braces are filled in by
# CloudFormation or by deploy/ec2.py; nothing else here may have braces.
set -euo pipefail
bundle=$(mktemp)
aws s3 cp --only-show-errors --region ${AWS::Region} s3://${Bucket}/${BundleKey} "$bundle"
echo "${BundleSha256}  $bundle" | sha256sum --check --status
tar --extract --gzip --file "$bundle" --directory / --no-same-owner --no-overwrite-dir
rm "$bundle"
systemctl daemon-reload
xargs systemctl enable --now --no-block < /etc/specserve/units
