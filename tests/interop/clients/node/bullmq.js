// BullMQ: jobs, delayed jobs, priorities, flows and retries. Every job that was accepted is
// completed, although the server is killed while the workers are at work.

'use strict';
const { Queue, Worker, QueueEvents, FlowProducer } = require('bullmq');
const { host, port, say, outcome, crash, sleep, until, assert, main } = require('./driver.js');

const JOBS = 60;
const connection = { host, port, maxRetriesPerRequest: null, retryStrategy: () => 20 };

function quiet(emitter) {
  emitter.on('error', () => {});
  return emitter;
}

main(async () => {
  const ran = new Map();
  const queue = quiet(new Queue('jobs', { connection, defaultJobOptions: { attempts: 5 } }));
  const work = async (job) => {
    await sleep(10);
    if (job.data.failsOnce && job.attemptsMade === 0) throw new Error('the first attempt fails');
    ran.set(job.id, (ran.get(job.id) ?? 0) + 1);
    return job.data.number * 2;
  };
  const options = { connection, concurrency: 3, stalledInterval: 1000, lockDuration: 2000 };
  const accepted = [];
  for (let number = 0; number < JOBS; number += 1) {
    accepted.push(await queue.add('one', { number, failsOnce: number % 10 === 0 }));
  }
  accepted.push(await queue.add('later', { number: 1000 }, { delay: 300 }));
  accepted.push(...(await queue.addBulk([
    { name: 'urgent', data: { number: 1001 }, opts: { priority: 1 } },
    { name: 'less so', data: { number: 1002 }, opts: { priority: 5 } },
  ])));
  const workers = [1, 2].map(() => quiet(new Worker('jobs', work, options)));
  await until('some are done', () => ran.size >= 10);
  await crash();
  for (let number = JOBS; number < JOBS + 10; number += 1) {
    accepted.push(await queue.add('one', { number }));
  }
  const completed = async () => (await outcome(queue.getJobCounts('completed'))).completed;
  await until('every job is completed', async () => (await completed()) === accepted.length, 60);
  for (const { id } of accepted) {
    const job = await queue.getJob(id);
    assert((await job.getState()) === 'completed' && ran.has(id), `job ${id}`);
    assert(job.returnvalue === job.data.number * 2, `the result of job ${id}`);
  }
  say('completed', accepted.length);

  const flow = await new FlowProducer({ connection }).add({
    name: 'parent', queueName: 'jobs', data: { number: 1 },
    children: [2, 3].map((number) => ({ name: 'child', queueName: 'jobs', data: { number } })),
  });
  const events = quiet(new QueueEvents('jobs', { connection }));
  await events.waitUntilReady();
  await until('the flow is done', async () => (await flow.job.getState()) === 'completed');
  say('children', Object.values(await flow.job.getChildrenValues()).sort());
  const last = await queue.add('last', { number: 7 });
  say('waited for', await last.waitUntilFinished(events, 20000));
  await queue.upsertJobScheduler('ticking', { every: 50 }, { data: { number: 9 } });
  const before = ran.size;
  await until('the scheduler ticks', () => ran.size >= before + 3);
  say('removed', await queue.removeJobScheduler('ticking'));
  await Promise.all(workers.map((worker) => worker.close()));
  await queue.obliterate({ force: true });
  say('left', await queue.getJobCounts('wait', 'active', 'completed', 'delayed', 'failed'));
});
