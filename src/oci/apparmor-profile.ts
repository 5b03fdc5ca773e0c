/**
 * The AppArmor profile that RuntimeDefault means: everything that a container's own namespaces and capabilities allow,
 * but no mounting, no writing to what of /proc and /sys is the host's, and signals and tracing among containers of the
 * profile only. Written in the language of AppArmor 3 without any include, so that it needs no other file.
 */

export const DEFAULT_APPARMOR_PROFILE = "gantry-default";

/** Directories of /sys that stay as they are mounted: control groups, which have their own permissions. */
const SYS_EXCEPT_FS = "/sys/{[^f]*,f[^s]*}/**";

export const DEFAULT_APPARMOR_POLICY = `profile ${DEFAULT_APPARMOR_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  unix,
  umount,

  signal (receive) peer=unconfined,
  signal (send, receive) peer=${DEFAULT_APPARMOR_PROFILE},
  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_APPARMOR_PROFILE},

  deny mount,

  # Files of /proc itself, and all below it that is neither a process nor a namespace's own setting.
  deny /proc/* wl,
  deny /proc/{acpi,bus,driver,fs,irq,scsi,tty}/** wl,
  deny /proc/sys/{abi,debug,dev,fs,vm}/** wl,
  deny /proc/sys/kernel/{,**/}{core_*,modprobe,hotplug,kexec*,panic*,randomize*,sysrq,unprivileged*,usermodehelper/**,yama/**} wl,
  deny /proc/sysrq-trigger rwl,
  deny /proc/kcore rwl,
  deny /proc/kmem rwl,
  deny /proc/mem rwl,

  deny ${SYS_EXCEPT_FS} wl,
  deny /sys/fs/{[^c]*,c[^g]*}/** wl,
  deny /sys/firmware/** rwl,
  deny /sys/devices/virtual/powercap/** rwl,
  deny /sys/kernel/security/** rwl,
}
`;
