/* Binds and listens again and again under all that can go on in a process meanwhile, and looks whether its registers, its
 * stack, its signal mask, its numbers of files and the results are what the kernel leaves: hammer THREADS ROUNDS PORT WHAT…
 * WHAT: timer, restart, children, vfork, execs, stops, dying, reuse. Prints what it found; ends with 1 if that is wrong. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* In this order: rax rdi rsi rdx r10 r8 r9 rbx rbp r12 r13 r14 r15, or x8 x0 to x5 x7 x9 x16 x17 x19 x28. */
#define REGISTERS 13
#define STACK 512

struct call {
  long before[REGISTERS], after[REGISTERS];
  unsigned char stack_before[STACK], stack_after[STACK];
};

/* Fills 256 bytes on both sides of the stack pointer, loads the registers, calls, and stores all of it. */
void checked_call(struct call *);
#ifdef __x86_64__
__asm__(".globl checked_call\nchecked_call:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "sub $264, %rsp\nmov %rdi, 256(%rsp)\nmov %rdi, %rbx\n"
        "lea 208(%rbx), %rsi\nlea -256(%rsp), %rdi\nmov $64, %ecx\ncld\nrep movsq\n"
        "mov %rbx, %rcx\n"
        "mov 0(%rcx), %rax\nmov 8(%rcx), %rdi\nmov 16(%rcx), %rsi\nmov 24(%rcx), %rdx\nmov 32(%rcx), %r10\nmov 40(%rcx), %r8\n"
        "mov 48(%rcx), %r9\nmov 56(%rcx), %rbx\nmov 64(%rcx), %rbp\nmov 72(%rcx), %r12\nmov 80(%rcx), %r13\nmov 88(%rcx), %r14\n"
        "mov 96(%rcx), %r15\nsyscall\nmov 256(%rsp), %rcx\n"
        "mov %rax, 104(%rcx)\nmov %rdi, 112(%rcx)\nmov %rsi, 120(%rcx)\nmov %rdx, 128(%rcx)\nmov %r10, 136(%rcx)\nmov %r8, 144(%rcx)\n"
        "mov %r9, 152(%rcx)\nmov %rbx, 160(%rcx)\nmov %rbp, 168(%rcx)\nmov %r12, 176(%rcx)\nmov %r13, 184(%rcx)\nmov %r14, 192(%rcx)\n"
        "mov %r15, 200(%rcx)\nmov %rcx, %rbx\n"
        "lea -256(%rsp), %rsi\nlea 720(%rbx), %rdi\nmov $64, %ecx\nrep movsq\n"
        "add $264, %rsp\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");
#else
/* The result is in x0, so that in its place x8 is compared, which has the number of the call. */
__asm__(".globl checked_call\nchecked_call:\n"
        "stp x29, x30, [sp, #-16]!\n"
        "stp x19, x20, [sp, #-16]!\n"
        "stp x21, x22, [sp, #-16]!\n"
        "stp x23, x24, [sp, #-16]!\n"
        "stp x25, x26, [sp, #-16]!\n"
        "stp x27, x28, [sp, #-16]!\n"
        "sub sp, sp, #272\nstr x0, [sp, #256]\n"
        "add x1, x0, #208\nsub x2, sp, #256\nmov x3, #64\n1: ldr x4, [x1], #8\nstr x4, [x2], #8\nsubs x3, x3, #1\nb.ne 1b\n"
        "mov x30, x0\n"
        "ldr x8, [x30, #0]\nldr x0, [x30, #8]\nldr x1, [x30, #16]\nldr x2, [x30, #24]\nldr x3, [x30, #32]\nldr x4, [x30, #40]\nldr x5, [x30, #48]\nldr x7, [x30, #56]\nldr x9, [x30, #64]\nldr x16, [x30, #72]\nldr x17, [x30, #80]\nldr x19, [x30, #88]\nldr x28, [x30, #96]\n"
        "svc #0\nldr x30, [sp, #256]\nstr x0, [x30, #104]\n"
        "ldr x10, [x30]\nsub x10, x8, x10\nldr x11, [x30, #8]\nadd x10, x10, x11\nstr x10, [x30, #112]\n"
        "str x1, [x30, #120]\nstr x2, [x30, #128]\nstr x3, [x30, #136]\nstr x4, [x30, #144]\nstr x5, [x30, #152]\nstr x7, [x30, #160]\nstr x9, [x30, #168]\nstr x16, [x30, #176]\nstr x17, [x30, #184]\nstr x19, [x30, #192]\nstr x28, [x30, #200]\n"
        "sub x1, sp, #256\nadd x2, x30, #720\nmov x3, #64\n2: ldr x4, [x1], #8\nstr x4, [x2], #8\nsubs x3, x3, #1\nb.ne 2b\n"
        "add sp, sp, #272\n"
        "ldp x27, x28, [sp], #16\n"
        "ldp x25, x26, [sp], #16\n"
        "ldp x23, x24, [sp], #16\n"
        "ldp x21, x22, [sp], #16\n"
        "ldp x19, x20, [sp], #16\n"
        "ldp x29, x30, [sp], #16\nret\n");
#endif
_Static_assert(offsetof(struct call, stack_before) == 208 && offsetof(struct call, stack_after) == 720, "as the assembler has it");

static atomic_long calls, interrupted, failed, changed, masks, leaked;
static atomic_int over;
static int rounds, port, in_vfork;
static int ports; /* of each thread: a child that was just forked may have the last one's listener still */

/* The result; counts what has changed that must not. */
static long checked(long number, long a, long b, long c) {
  struct call it;
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  long values[REGISTERS] = {number, a, b, c, 0x1010101010, 0x808080808, 0x909090909, 0xb, 0xbb, 0x12, 0x13, 0x14, 0x15};
  memcpy(it.before, values, sizeof values);
  for (int i = 0; i < STACK; i++) it.stack_before[i] = (unsigned char)(i * 7 + number);
  checked_call(&it);
  calls++;
  if (memcmp(it.before + 1, it.after + 1, sizeof values - sizeof *values)) {
    if (!changed++) for (int i = 1; i < REGISTERS; i++) printf("register %d: %lx then %lx\n", i, it.before[i], it.after[i]);
  }
  if (memcmp(it.stack_before, it.stack_after, STACK)) {
    if (!changed++)
      for (int i = 0; i < STACK; i++)
        if (it.stack_before[i] != it.stack_after[i]) printf("stack %d: %x then %x\n", i - 256, it.stack_before[i], it.stack_after[i]);
  }
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  if (memcmp(&before, &after, sizeof(unsigned long))) masks++;
  return it.after[0];
}

static void judge(const char *what, long result) {
  if (result == -EINTR) interrupted++;
  else if (result != 0 && !failed++) printf("%s: %s\n", what, strerror(-result));
}

/* One socket's life. */
static void round_of(int number) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, listens = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  long bound = checked(SYS_bind, fd, (long)&to, sizeof to);
  judge("bind", bound);
  if (bound == 0) {
    long listened = checked(SYS_listen, fd, 16, 0x77);
    judge("listen", listened);
    socklen_t length = sizeof listens;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    if (listened == 0 && !listens && !failed++) printf("it does not listen\n");
  }
  close(fd);
}

static int open_files(void) {
  DIR *all = opendir("/proc/self/fd");
  int many = 0;
  while (readdir(all)) many++;
  closedir(all);
  return many;
}

/* Signals are taken on a stack of their own, as Go has it, so that nothing of ours is below the stack pointer. */
static void own_signal_stack(void) {
  stack_t stack = {.ss_size = 65536, .ss_sp = malloc(65536)};
  sigaltstack(&stack, NULL);
}

/* The same in a child that has this very memory. */
static __attribute__((noinline)) void round_in_vfork(int number) {
  pid_t child = vfork();
  if (child == 0) {
    round_of(number);
    _exit(0);
  }
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}

static void *work(void *of) {
  long thread = (long)of;
  own_signal_stack();
  for (int i = 0; i < rounds && !over; i++) {
    int number = port + thread * ports + i % ports;
    if (in_vfork) round_in_vfork(number);
    else round_of(number);
  }
  return NULL;
}

static void on_signal(int unused) { (void)unused; }

static void handle(int signal, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags | SA_ONSTACK};
  sigaction(signal, &action, NULL);
}

/* Children that end at once, or that execute something. */
static void *breed(void *of) {
  int executes = *(int *)of;
  own_signal_stack();
  while (!over) {
    pid_t child = fork();
    if (child == 0) {
      if (executes) execl("/bin/true", "true", NULL);
      _exit(0);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  return NULL;
}

/* Stops this process and lets it go on, over and over. */
static pid_t stopper(void) {
  pid_t parent = getpid(), child = fork();
  if (child == 0)
    for (;;) {
      kill(parent, SIGSTOP);
      usleep(300);
      kill(parent, SIGCONT);
      usleep(700);
      if (getppid() != parent) _exit(0);
    }
  return child;
}

static void threads_work(int threads) {
  pthread_t all[64];
  for (long i = 0; i < threads; i++) pthread_create(&all[i], NULL, work, (void *)i);
  for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
}

static void *end_soon(void *of) {
  usleep(*(int *)of);
  if (*(int *)of % 3) execl("/bin/true", "true", NULL);
  _exit(0);
}

static atomic_int turn;

/* Gives the number to another file, at some moment of the other thread's calls. */
static void *take_number(void *of) {
  int zero = *(int *)of;
  for (int i = 1; i <= rounds; i++) {
    while (turn != 2 * i - 1) continue;
    for (volatile int wait = i % 97 * 300; wait > 0; wait--) continue;
    dup2(zero, 50);
    turn = 2 * i;
  }
  return NULL;
}

/* A thread binds and listens by a number that another thread uses for something else meanwhile: whatever came of the calls, the
 * number is that other file's in the end. */
static void reuse_a_number(void) {
  int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  pthread_t other;
  pthread_create(&other, NULL, take_number, &zero);
  for (int i = 1; i <= rounds; i++) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port + i), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct stat it;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    dup2(fd, 50);
    close(fd);
    turn = 2 * i - 1;
    if (checked(SYS_bind, 50, (long)&to, sizeof to) == 0) checked(SYS_listen, 50, 16, 0);
    while (turn != 2 * i) continue;
    if ((fstat(50, &it) < 0 || !S_ISCHR(it.st_mode)) && !failed++) printf("another file was put in the place of one that was just opened\n");
  }
  pthread_join(other, NULL);
  close(zero);
  close(50);
}

/* Processes whose threads are in the middle of it when they are killed, end, or execute something else. */
static void die_over_and_over(int threads) {
  int lives = rounds;
  rounds = 1 << 30, ports = 8;
  for (int i = 0; i < lives; i++) {
    pid_t child = fork();
    int after = 100 + i * 37 % 3000;
    if (child == 0) {
      pthread_t ends;
      if (i % 4) pthread_create(&ends, NULL, end_soon, &after);
      threads_work(threads);
      _exit(0);
    }
    if (i % 4 == 0) usleep(after), kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}

int main(int count, char **words) {
  if (count < 4) return 2;
  int threads = atoi(words[1]), flags = 0, dying = 0, reuses = 0, timer = 0, executes = 0, breeds = 0;
  pid_t stops = 0;
  pthread_t breeder;
  rounds = ports = atoi(words[2]), port = atoi(words[3]);
  for (int i = 4; i < count; i++) {
    if (!strcmp(words[i], "restart")) flags = SA_RESTART;
    timer |= !strcmp(words[i], "timer");
    in_vfork |= !strcmp(words[i], "vfork");
    executes |= !strcmp(words[i], "execs");
    breeds |= !strcmp(words[i], "children") || !strcmp(words[i], "execs");
    reuses |= !strcmp(words[i], "reuse");
    dying |= !strcmp(words[i], "dying");
    if (!strcmp(words[i], "stops")) stops = stopper();
  }
  own_signal_stack();
  round_of(port);
  handle(SIGALRM, flags);
  handle(SIGCHLD, flags);
  int before = open_files();
  if (breeds) pthread_create(&breeder, NULL, breed, &executes);
  struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
  if (timer) setitimer(ITIMER_REAL, &often, NULL);
  if (dying) die_over_and_over(threads);
  else if (reuses) reuse_a_number();
  else threads_work(threads);
  setitimer(ITIMER_REAL, &never, NULL);
  over = 1;
  if (breeds) pthread_join(breeder, NULL);
  if (stops) kill(stops, SIGKILL), waitpid(stops, NULL, 0), kill(getpid(), SIGCONT);
  if (open_files() != before) leaked = open_files() - before;
  printf("calls %ld interrupted %ld failed %ld changed %ld masks %ld leaked %ld\n", calls, interrupted, failed, changed, masks, leaked);
  return failed || changed || masks || leaked;
}
