#!/bin/sh
# How SCST 1 was set up, line by line.
/etc/init.d/scst start
scstadmin -ClearConfig /etc/scst.conf
scstadmin -adddev disk01 -path /dev/ram0 -handler vdisk -options NV_CACHE
scstadmin -adddev disk02 -path /dev/ram1 \
          -handler vdisk -options NV_CACHE
scstadmin -assigndev disk01 -group Default -lun 0
scstadmin -assigndev disk02 -group Default -lun 1
scstadmin -assigndev 4:0:0:0 -group Default -lun 2
scstadmin -WriteConfig /etc/scst.conf
