/* Starts a command in a network namespace of its own, where every port is free, and where some calls are not permitted:
 * launch [net] [getfd] [ptrace] -- COMMAND. The last two name what is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* EPERM for these, as a container's profile says it. */
static int refuse(const int *calls, int many) {
  struct sock_filter filter[16] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  int length = 1;
  for (int i = 0; i < many; i++) filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], many - i, 0);
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  struct sock_fprog program = {length, filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM, 0), result = ioctl(fd, SIOCSIFFLAGS, &request);
  close(fd);
  return result;
}

int main(int count, char **words) {
  int calls[8], many = 0, at = 1;
  for (; at < count && strcmp(words[at], "--"); at++) {
    if (!strcmp(words[at], "net") && (unshare(CLONE_NEWNET) < 0 || loopback_up() < 0)) return perror("a network namespace"), 125;
    if (!strcmp(words[at], "getfd")) calls[many++] = SYS_pidfd_getfd;
    if (!strcmp(words[at], "ptrace")) calls[many++] = SYS_ptrace, calls[many++] = SYS_process_vm_readv, calls[many++] = SYS_process_vm_writev;
  }
  if (many && refuse(calls, many) < 0) return perror("a filter"), 125;
  if (at + 1 >= count) return 125;
  execvp(words[at + 1], words + at + 1);
  return perror(words[at + 1]), 127;
}
