/* What a process of the probe may do to itself before it binds: each of these makes it harder for another process to look at it. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* A sandbox as programs make them: who calls what it does not need is killed. It does not send files, nor map, nor trace. */
static int sandbox(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Landlock: no TCP port may be bound any more (numbers of linux/landlock.h, whose older versions lack the network). */
static int landlock(void) {
  unsigned long long handled[2] = {0, 1};
  int rules = syscall(444, handled, sizeof handled, 0);
  if (rules < 0) return rules;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int result = syscall(446, rules, 0);
  close(rules);
  return result;
}

/* A socket of another network namespace. */
static int foreign_socket(int family) {
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd = -1;
  if (home >= 0 && unshare(CLONE_NEWNET) == 0) {
    fd = socket(family, SOCK_STREAM, 0);
    if (setns(home, CLONE_NEWNET) < 0) _exit(9);
  }
  int error = errno;
  close(home);
  errno = error;
  return fd;
}

/* No more files than are open now. */
static int limit_files(void) {
  int next = dup(0);
  struct rlimit limit = {next, next};
  close(next);
  return setrlimit(RLIMIT_NOFILE, &limit);
}

/* No more memory than is mapped now. */
static int limit_memory(void) {
  struct rlimit limit = {4096, 4096};
  return setrlimit(RLIMIT_AS, &limit);
}
