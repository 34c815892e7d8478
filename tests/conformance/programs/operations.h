/* The operations of probe.c, one a line. */

/* SO_ATTACH_REUSEPORT_CBPF: which socket of the group gets all connections. */
static int steer(int fd, int index) {
  struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, index)};
  struct sock_fprog program = {1, filter};
  return setsockopt(fd, SOL_SOCKET, 51, &program, sizeof program);
}

/* SCM_RIGHTS: sends a socket (or, where there is none, only a byte). */
static int send_file(int over, int fd) {
  char byte = 'x', space[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  if (fd < 0) message.msg_control = NULL, message.msg_controllen = 0;
  return sendmsg(over, &message, 0);
}

/* The number that it has here. */
static int receive_file(int over) {
  char byte, space[CMSG_SPACE(sizeof(int))];
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  int fd = -1;
  if (recvmsg(over, &message, MSG_CMSG_CLOEXEC) > 0 && CMSG_FIRSTHDR(&message)) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

/* Sends a socket to this very process. */
static int pass_to_self(int fd) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 || send_file(ends[0], fd) < 0) return -1;
  int passed = receive_file(ends[1]);
  close(ends[0]), close(ends[1]);
  return passed;
}

struct stretch {
  int from, to;
};

static void *in_thread(void *of) {
  struct stretch *it = of;
  run(it->from, it->to);
  return NULL;
}

/* Lines that another process or thread runs, while this one waits: where they end, or 0 if they are none. */
static int elsewhere(int at) {
  char word[16] = "", from = 0, to = 0;
  int ends[2] = {-1, -1}, status = 0, options = 0;
  sscanf(lines[at], "%15s %c %c", word, &from, &to);
  int pass = !strcmp(word, "pass"), stay = !strcmp(word, "stay"), thread_runs = !strcmp(word, "thread");
  if (strcmp(word, "fork") && !pass && !stay && !thread_runs) return 0;
  int end = end_of(at);
  if (thread_runs) {
    struct stretch it = {at + 1, end};
    pthread_t thread;
    printf("\n");
    pthread_create(&thread, NULL, in_thread, &it);
    pthread_join(thread, NULL);
    printf("end:");
    return end;
  }
  if (pass) socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
  printf("\n");
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    if (pass) {
      close(slots[(int)from]);
      slots[(int)from] = -1;
      slots[(int)to] = receive_file(ends[1]);
      inodes[(int)to] = inodes[(int)from];
      close(ends[0]), close(ends[1]);
    }
    run(at + 1, end);
    fflush(stdout);
    if (stay) raise(SIGSTOP);
    _exit(0);
  }
  if (pass) {
    send_file(ends[0], slots[(int)from]);
    close(ends[0]), close(ends[1]);
  }
  options = stay ? WUNTRACED : 0;
  waitpid(child, &status, options);
  for (int i = 0; stay && i < 64; i++)
    if (!children[i]) {
      children[i] = child;
      break;
    }
  printf("end: %s", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "ended");
  return end;
}

static int family_of(const char *name) {
  return !strcmp(name, "inet") ? AF_INET : !strcmp(name, "inet6") ? AF_INET6 : AF_UNIX;
}

static int make(const char *family, const char *type, int protocol, const char *flags) {
  int kind = !strcmp(type, "stream") ? SOCK_STREAM : !strcmp(type, "dgram") ? SOCK_DGRAM : SOCK_SEQPACKET;
  if (strchr(flags, 'n')) kind |= SOCK_NONBLOCK;
  if (strchr(flags, 'c')) kind |= SOCK_CLOEXEC;
  return socket(family_of(family), kind, protocol);
}

static int flags_of(int fd, int get, int set, int add) { return fcntl(fd, set, fcntl(fd, get) | add); }

/* A line that is done here. */
static void operation(const char *line) {
  char w[8][100] = {{0}};
  struct sockaddr_storage to;
  int many = sscanf(line, "%99s %99s %99s %99s %99s %99s %99s %99s", w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
  int a = w[1][0] & 127, b = w[2][0] & 127, fd = slots[a];
#define IS(word) (many > 0 && !strcmp(w[0], word))
  if (IS("socket")) said("socket", keep(a, make(w[2], w[3], atoi(w[4]), w[5])));
  else if (IS("foreign")) said("socket", keep(a, foreign_socket(family_of(w[2]))));
  else if (IS("set")) said("setsockopt", set_option(fd, option_of(w[2]), w[3]));
  else if (IS("bind")) said("bind", bind(fd, (void *)&to, address(w[2], atoi(w[3]), &to)));
  else if (IS("listen")) said("listen", listen(fd, atoi(w[2])));
  else if (IS("connect")) join(fd, w[2], atoi(w[3]));
  else if (IS("client")) keep(a, client(w[2], atoi(w[3])));
  else if (IS("meet")) meet(a, w[2], atoi(w[3]), w[4][0], w[5][0]);
  else if (IS("take")) said("accept", keep(b, wait_for(fd, POLLIN) > 0 ? accept(fd, NULL, NULL) : -1));
  else if (IS("reach")) reach(w[1], atoi(w[2]), PATIENCE);
  else if (IS("lag")) lag(w[1], atoi(w[2]));
  else if (IS("shutdown")) said("shutdown", shutdown(fd, SHUT_RDWR));
  else if (IS("close")) said("close", close(fd)), slots[a] = -1;
  else if (IS("dup")) said("dup", slots[a] = dup(slots[b])), inodes[a] = inodes[b], printf(" fd=%d", slots[a]);
  else if (IS("dup2")) said("dup2", slots[a] = dup2(slots[b], atoi(w[3]))), inodes[a] = inodes[b];
  else if (IS("scm")) said("scm", slots[a] = pass_to_self(slots[b])), inodes[a] = inodes[b], printf(" fd=%d", slots[a]);
  else if (IS("epoll")) said("epoll_create", slots[a] = epoll_create1(EPOLL_CLOEXEC));
  else if (IS("add") || IS("modify") || IS("remove")) {
    struct epoll_event event = {.events = w[3][0] == '0' ? 0 : w[3][0] == 't' ? EPOLLIN | EPOLLET : EPOLLIN, .data.u32 = b};
    said("epoll_ctl", epoll_ctl(fd, IS("add") ? EPOLL_CTL_ADD : IS("modify") ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, slots[b], &event));
  } else if (IS("events")) events(fd, w[2][0] ? PATIENCE : 0);
  else if (IS("steer")) said("setsockopt", steer(fd, atoi(w[2])));
  else if (IS("nonblock")) said("fcntl", flags_of(fd, F_GETFL, F_SETFL, O_NONBLOCK));
  else if (IS("cloexec")) said("fcntl", flags_of(fd, F_GETFD, F_SETFD, FD_CLOEXEC));
  else if (IS("async")) said("fcntl", fcntl(fd, F_SETOWN, getpid())), said("fcntl", flags_of(fd, F_GETFL, F_SETFL, O_ASYNC));
  else if (IS("about")) about(a);
  else if (IS("options")) options(fd);
  else if (IS("names")) names(fd);
  else if (IS("files")) files();
  else if (IS("table")) listeners(atoi(w[1])), w[2][0] ? table(atoi(w[1])) : (void)0;
  else if (IS("path")) {
    struct stat it = {0};
    said("stat", lstat(w[1], &it)), printf(" mode=%o uid=%u", it.st_mode, it.st_uid);
  } else if (IS("unlink")) said("unlink", unlink(w[1]));
  else if (IS("user")) said("setgid", setgid(atoi(w[1]))), said("setuid", setuid(atoi(w[1])));
  else if (IS("dumpable")) said("prctl", prctl(PR_SET_DUMPABLE, atoi(w[1]), 0, 0, 0));
  else if (IS("namespace")) said("unshare", unshare(CLONE_NEWUSER));
  else if (IS("landlock")) said("landlock", landlock());
  else if (IS("sandbox")) said("seccomp", sandbox());
  else if (IS("limit")) said("setrlimit", w[1][0] == 'f' ? limit_files() : limit_memory());
  else if (IS("held")) fflush(stdout), pause();
  else fprintf(stderr, "no such operation: %s\n", line), exit(2);
#undef IS
}
