// SPDX-License-Identifier: GPL-2.0
/* include/linux/pid.h, sched/signal.h, sched/mm.h: processes with their address spaces. */

#include <linux/err.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/string.h>

#include "helpers.h"

/* The address space of the first thread that has one: the leader may have exited. Under RCU. */
static struct mm_struct *mm_of(struct task_struct *process)
{
	struct mm_struct *mm = NULL;
	struct task_struct *thread;

	for_each_thread(process, thread) {
		mm = get_task_mm(thread);
		if (mm)
			break;
	}
	return mm;
}

/*
 * Whether a process with a smaller pid that had started by @began has the same address space. Under
 * RCU.
 */
static bool is_of_an_earlier(struct mm_struct *mm, struct task_struct *process, u64 began)
{
	struct task_struct *other, *thread;

	/* Each thread is a user, and so is the caller. */
	if (atomic_read(&mm->mm_users) <= get_nr_threads(process) + 1)
		return false;
	for_each_process_thread(other, thread)
		if (other->tgid < process->tgid && other->start_time <= began &&
		    !(thread->flags & PF_KTHREAD) && READ_ONCE(thread->mm) == mm)
			return true;
	return false;
}

/*
 * The address space of the process with a thread @pid, to be put; or -ESRCH if it has ended,
 * -EINVAL if it is a kernel thread.
 */
struct mm_struct *shadow_rmap_mm_of_pid(struct pid *pid, char *comm)
{
	struct mm_struct *mm = ERR_PTR(-ESRCH);
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_PID);
	if (task && task->flags & PF_KTHREAD) {
		mm = ERR_PTR(-EINVAL);
	} else if (task) {
		mm = mm_of(task) ?: ERR_PTR(-ESRCH);
		memcpy(comm, task->group_leader->comm, TASK_COMM_LEN);
	}
	rcu_read_unlock();
	return mm;
}

/*
 * The address space, to be put, of the next process from pid @nr on, which is set; or NULL. One
 * that several processes share comes once, with the smallest pid. Processes that started after
 * @began, in ns as ktime_get_ns() counts, are passed by.
 */
struct mm_struct *shadow_rmap_next_mm(int *nr, u64 began, char *comm)
{
	struct mm_struct *mm = NULL;
	struct pid *pid;

	rcu_read_lock();
	for (pid = find_ge_pid(*nr, &init_pid_ns); pid; pid = find_ge_pid(*nr + 1, &init_pid_ns)) {
		struct task_struct *process = pid_task(pid, PIDTYPE_TGID);

		*nr = pid_nr(pid);
		mm = process && process->start_time <= began ? mm_of(process) : NULL;
		if (mm && is_of_an_earlier(mm, process, began)) {
			mmput_async(mm);
			mm = NULL;
		}
		if (mm) {
			memcpy(comm, process->comm, TASK_COMM_LEN);
			break;
		}
		rcu_read_unlock();
		cond_resched();
		rcu_read_lock();
	}
	rcu_read_unlock();
	return mm;
}
