# filesystem: ext4 with a tree on the file disk survives logout and login, and the file behind it holds the same on the target's side
# seconds: 400
# fabrics: verbs roce
# all: roce

TREE=/tmp/tree MOUNT=/mnt/lab
mkdir -p $TREE $MOUNT

# Names, kinds, modes, sizes, link targets and contents.
manifest() {
  (
    cd "$1" || exit
    find . ! -path './lost+found*' ! -type d -printf '%p %y %m %s %l\n' -o ! -path './lost+found*' -printf '%p %y %m\n' | sort
    find . -type f -print0 | sort -z | xargs -0 sha256sum
  )
}
same_tree() { diff <(manifest "$1") /tmp/expected; }

cp -a /usr/lib/python3.*/{asyncio,email,encodings,json} $TREE/
head -c 20M /dev/urandom >$TREE/large
ln -s large $TREE/link
truncate -s 20M $TREE/sparse
manifest $TREE >/tmp/expected

must "the target starts" start_target 0x3
must "login" login_disks
must "mkfs.ext4 on disk01" mkfs.ext4 -q -F "$FILE"
must "mount" mount "$FILE" $MOUNT
must "a tree of $(find $TREE | wc -l) files is copied" cp -a --sparse=never $TREE/. $MOUNT/
must "umount" umount $MOUNT
must "logout" logout

must "login again" login_disks
check "fsck finds nothing" e2fsck -fn "$FILE"
must "mount again" mount "$FILE" $MOUNT
check "the tree is identical" same_tree $MOUNT
must "umount" umount $MOUNT
must "logout again" logout
check "SIGTERM ends the target with status 0" stop_target

check "target's side: fsck of the file finds nothing" e2fsck -fn "$DISK_FILE"
must "target's side: the file mounts" mount -o loop,ro "$DISK_FILE" $MOUNT
check "target's side: the tree is identical" same_tree $MOUNT
